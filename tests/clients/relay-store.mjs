// Lets Relay's store merge answers about one report, by its id: what a subscription brings is what the query of the same
// filter reads.
//
//   node relay-store.mjs URL [--limit SECONDS]
//
// Prints {"before": N, "after": N, "series": N, "queries": N}: the views that the query reads before and after an event of the
// subscription, the points of its series then, and how often the server was queried.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import compiler from 'relay-compiler';
import relay from 'relay-runtime';
import WebSocket from 'ws';
import { fail, failAfter, print, readArguments } from './common.mjs';

const { Environment, Network, Observable, RecordSource, Store, createOperationDescriptor, fetchQuery, requestSubscription } = relay;
const PROJECT = `
graphql\`query storeQuery($filter: ReportFilter) { report(filter: $filter) { totals { views } series(granularity: DAY) { views } } }\`;
graphql\`subscription storeSubscription($filter: ReportFilter) { report(filter: $filter) { totals { views } } }\`;
`;
const VARIABLES = { filter: { interval: { period: 'LAST_7_DAYS' }, timeZone: 'UTC' } };

const { url, limit } = readArguments('relay-store.mjs URL', {});
let waitingFor = 'the compiler';
failAfter(limit, () => waitingFor);

const folder = mkdtempSync(join(tmpdir(), 'relay-store-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
for (const name of ['src', 'compiled']) mkdirSync(join(folder, name));
writeFileSync(join(folder, 'schema.graphql'), await (await fetch(new URL('/schema.graphql', url))).text());
writeFileSync(join(folder, 'src/store.js'), PROJECT);
writeFileSync(join(folder, 'relay.config.json'), JSON.stringify({
  src: 'src', schema: 'schema.graphql', language: 'javascript', artifactDirectory: 'compiled',
}));
const { status, stdout, stderr, error } = spawnSync(compiler, ['relay.config.json'], { cwd: folder, encoding: 'utf8' });
if (status !== 0) fail(`relay-compiler: ${stdout}${stderr}${error ?? ''}`);
const require = createRequire(join(folder, 'compiled/'));
const [query, subscription] = ['storeQuery', 'storeSubscription'].map((name) => require(`./${name}.graphql.js`).default);

let queries = 0;
url.pathname = '/graphql';
const ask = async (text, variables) => {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query: text, variables }) });
  return response.json();
};
const socket = createClient({ url: url.href.replace('http', 'ws'), webSocketImpl: WebSocket, retryAttempts: 0 });
const environment = new Environment({
  network: Network.create(
    ({ text }, variables) => {
      queries += 1;
      return ask(text, variables);
    },
    ({ text }, variables) => Observable.create((sink) => socket.subscribe({ query: text, variables }, sink)),
  ),
  store: new Store(new RecordSource()),
});
const operation = createOperationDescriptor(query, VARIABLES);
const read = () => environment.lookup(operation.fragment).data?.report;
const record = (views) => ask('mutation ($views: Int!) { recordPageViews(input: {increments: [{page: "/relay", views: $views}]}) { views } }', { views });

await record(1);
const live = requestSubscription(environment, { subscription, variables: VARIABLES, onError: (failure) => fail(String(failure)) });
waitingFor = 'the first view';
await until(async () => {
  await fetchQuery(environment, query, VARIABLES).toPromise();
  return read().totals.views === 1;
});
environment.retain(operation);
const before = read().totals.views;
queries = 0;
await record(2);
waitingFor = 'the query to read what the subscription brings';
await until(() => read().totals.views === 3);
live.dispose();
await print({ before, after: read().totals.views, series: read().series.length, queries });
process.exit(0);

async function until(probe) {
  while (!(await probe())) await new Promise((resolve) => setTimeout(resolve, 25));
}
