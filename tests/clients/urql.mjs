// Runs the scenario with urql: queries by GET, mutations by POST, the subscription over a socket, or with --events as
// server-sent events.
//
//   node urql.mjs URL [--events] [--limit SECONDS]
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { failAfter, readArguments } from './common.mjs';
import { runScenario } from './scenario.mjs';

const { url, events, limit } = readArguments('urql.mjs URL [--events]', { events: { type: 'boolean' } });
url.pathname = '/graphql';
failAfter(limit, () => 'the scenario');

const socket = createClient({ url: url.href.replace('http', 'ws'), webSocketImpl: WebSocket, retryAttempts: 0, lazy: true });
const forwardSubscription = (request) => ({ subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }) });
const client = new Client({
  url: url.href,
  exchanges: events ? [fetchExchange] : [subscriptionExchange({ forwardSubscription }), fetchExchange],
  fetchSubscriptions: events,
  preferGetMethod: true,
});

const data = async (answer) => {
  const { data: found, error } = await answer;
  if (error?.networkError) throw error.networkError;
  if (error) throw Object.assign(new Error(error.message), { errors: error.graphQLErrors });
  return found;
};
await runScenario('urql', {
  mutate: (mutation, variables) => data(client.mutation(mutation, variables).toPromise()),
  query: (query, variables) => data(client.query(query, variables).toPromise()),
  subscribe(query, variables, next, failed) {
    client.subscription(query, variables).subscribe((answer) => data(answer).then(next, failed));
  },
});
process.exit(0);
