"""Runs the scenario with gql: queries and mutations over HTTP by aiohttp, the subscription over a socket.

    python scenario.py URL --sockets websockets|aiohttp [--limit SECONDS]

Prints a line with what the client got, as scenario.mjs does.
"""

import argparse
import asyncio
import json

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

REPORT_FIELDS = "totals { views pages } pages { nodes { page title views } }"
MUTATION = """mutation ($input: RecordPageViewsInput!) {
  recordPageViews(input: $input) { increments views recordedAt duplicate }
}"""
QUERY = f"query ($filter: ReportFilter) {{ report(filter: $filter) {{ {REPORT_FIELDS} }} }}"
SUBSCRIPTION = QUERY.replace("query", "subscription", 1)
VIEWS = 3
SOCKETS = {"websockets": WebsocketsTransport, "aiohttp": AIOHTTPWebsocketsTransport}


def request(text, variables):
    made = gql(text)
    made.variable_values = variables
    return made


async def live_report(url, transport, variables):
    """The report as soon as the views are in it."""
    async with Client(transport=transport(url=url), fetch_schema_from_transport=True) as session:
        async for answer in session.subscribe(request(SUBSCRIPTION, variables)):
            if answer["report"]["totals"]["views"] == VIEWS:
                return answer["report"]


async def run(address, sockets):
    page = f"/gql-{sockets}"
    day = {"range": {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}}
    variables = {"filter": {"pages": {"names": [page]}, "interval": day}}
    increment = {"page": page, "views": VIEWS, "at": "2026-11-20T10:00:00Z", "title": "gql"}
    # Its own check of the documents goes by the server's introspection.
    client = Client(transport=AIOHTTPTransport(url=f"{address}/graphql"), fetch_schema_from_transport=True)
    async with client as session:
        recorded = await session.execute(request(MUTATION, {"input": {"increments": [increment]}}))
        socket_url = f"{address}/graphql".replace("http", "ws", 1)
        live = await live_report(socket_url, SOCKETS[sockets], variables)
        report = (await session.execute(request(QUERY, variables)))["report"]
        try:
            wrong = {"increments": [{"page": page, "at": "2026-11-20 10:00"}]}
            await session.execute(request(MUTATION, {"input": wrong}))
            errors = []
        except TransportQueryError as error:
            errors = [{"message": told["message"], "code": told["extensions"]["code"]} for told in error.errors]
    return {"recorded": recorded["recordPageViews"], "live": live, "report": report, "errors": errors}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--sockets", choices=SOCKETS, required=True)
    parser.add_argument("--limit", type=float, default=30)
    arguments = parser.parse_args()
    scenario = asyncio.wait_for(run(arguments.url.rstrip("/"), arguments.sockets), arguments.limit)
    print(json.dumps(asyncio.run(scenario)), flush=True)


main()
