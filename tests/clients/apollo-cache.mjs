// Lets Apollo Client's cache merge answers about one report, by its id: what a subscription brings is shown by the queries
// of the same filter, without asking again.
//
//   node apollo-cache.mjs URL [--limit SECONDS]
//
// Prints {"shown": [...], "requests": N, "reports": N, "series": N}: the views that a watched query showed, the queries over
// HTTP, the reports in the cache, and the points of the series that another query had asked for.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { failAfter, print, readArguments } from './common.mjs';

const TOTALS = gql`query Totals($filter: ReportFilter) { report(filter: $filter) { id totals { views } } }`;
const SERIES = gql`query Series($filter: ReportFilter) { report(filter: $filter) { id series(granularity: DAY) { start views } } }`;
const LIVE = gql`subscription Live($filter: ReportFilter) { report(filter: $filter) { id totals { views } } }`;
const RECORD = gql`mutation Record($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views } }`;
const VARIABLES = { filter: { interval: { period: 'LAST_7_DAYS' }, timeZone: 'UTC' } };
const OTHER_VARIABLES = { filter: { interval: { period: 'LAST_30_DAYS' }, timeZone: 'UTC' } };
const VIEWS = [1, 3];

const { url, limit } = readArguments('apollo-cache.mjs URL', {});
url.pathname = '/graphql';
let waitingFor = 'the first answer';
failAfter(limit, () => waitingFor);

let requests = 0;
const http = new HttpLink({
  uri: url.href,
  fetch: (address, options) => {
    if (options.body.includes('"query ')) requests += 1;
    return fetch(address, options);
  },
});
const socket = createClient({ url: url.href.replace('http', 'ws'), webSocketImpl: WebSocket, retryAttempts: 0 });
const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION;
const client = new ApolloClient({ link: ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http), cache: new InMemoryCache() });
const record = (views) => client.mutate({ mutation: RECORD, variables: { input: { increments: [{ page: '/apollo', views }] } } });

await record(VIEWS[0]);
// The report has the view once the subscription says so; nothing has been queried until then.
await until(LIVE, VIEWS[0]);
requests = 0;
await client.query({ query: SERIES, variables: VARIABLES });
await client.query({ query: TOTALS, variables: OTHER_VARIABLES });
const shown = [];
const all = new Promise((resolve) => {
  client.watchQuery({ query: TOTALS, variables: VARIABLES }).subscribe(({ data }) => {
    if (data?.report) shown.push(data.report.totals.views);
    if (shown.at(-1) === VIEWS[1]) resolve();
  });
});
const live = client.subscribe({ query: LIVE, variables: VARIABLES }).subscribe({});
await record(VIEWS[1] - VIEWS[0]);
waitingFor = 'the watched query to show what the subscription brings';
await all;
live.unsubscribe();
const cached = client.cache.extract();
const series = client.readQuery({ query: SERIES, variables: VARIABLES })?.report.series.length ?? 0;
await print({
  shown,
  requests,
  reports: Object.keys(cached).filter((key) => key.startsWith('Report:')).length,
  series,
});
process.exit(0);

/** Waits until a subscription brings so many views. */
function until(query, views) {
  return new Promise((resolve, reject) => {
    const subscription = client.subscribe({ query, variables: VARIABLES }).subscribe({
      next: ({ data, error }) => {
        if (error) reject(error);
        if (data?.report.totals.views !== views) return;
        queueMicrotask(() => subscription.unsubscribe());
        resolve();
      },
      error: reject,
    });
  });
}
