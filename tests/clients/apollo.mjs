// Runs the scenario with Apollo Client: queries and mutations over HTTP, the subscription over a socket.
//
//   node apollo.mjs URL [--persisted post|get] [--limit SECONDS]
//
// With --persisted queries are first sent as hashes; then a line {"sent": [...]} lists the requests over HTTP, one entry a
// request: its method, and "hash" and "query" if they were in it.
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { failAfter, print, readArguments } from './common.mjs';
import { runScenario } from './scenario.mjs';

const { url, persisted, limit } = readArguments('apollo.mjs URL [--persisted post|get]', { persisted: { type: 'string' } });
url.pathname = '/graphql';
failAfter(limit, () => 'the scenario');

const sent = [];
function noteAndFetch(address, options) {
  const found = new URL(address).searchParams;
  const { query, extensions } = options.body ? JSON.parse(options.body) : { query: found.get('query'), extensions: JSON.parse(found.get('extensions')) };
  sent.push([options.method, extensions?.persistedQuery && 'hash', query && 'query'].filter(Boolean).join(' '));
  return fetch(address, options);
}

const http = new HttpLink({ uri: url.href, fetch: noteAndFetch });
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const overHttp = persisted ? new PersistedQueryLink({ sha256, useGETForHashedQueries: persisted === 'get' }).concat(http) : http;
const socket = createClient({ url: url.href.replace('http', 'ws'), webSocketImpl: WebSocket, retryAttempts: 0 });
const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION;
const link = ApolloLink.split(isSubscription, new GraphQLWsLink(socket), overHttp);
const client = new ApolloClient({ link, cache: new InMemoryCache() });

const data = async (answer) => {
  const { data: found, error } = await answer;
  if (error) throw error;
  return JSON.parse(JSON.stringify(found, (key, value) => (key === '__typename' ? undefined : value)));
};
// So that the first of them is a query, which may be sent by GET.
if (persisted) await data(client.query({ query: gql('query Version { version }') }));
await runScenario('apollo', {
  mutate: (mutation, variables) => data(client.mutate({ mutation: gql(mutation), variables })),
  query: (query, variables) => data(client.query({ query: gql(query), variables, fetchPolicy: 'network-only' })),
  subscribe(query, variables, next, failed) {
    client.subscribe({ query: gql(query), variables }).subscribe({
      next: (answer) => data(answer).then(next, failed),
      error: failed,
    });
  },
});
if (persisted) await print({ sent });
process.exit(0);
