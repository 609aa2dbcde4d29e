// Subscribes to freshness with graphql-ws, as an application would, and prints each value as a line.
//
//   node freshness.mjs URL [--until ISO_TIME] [--count N] [--limit SECONDS]
//
// Ends well when a value's `asOf` is at or after ISO_TIME, or after N values. A line `until ISO_TIME` on stdin sets the time too,
// for values already seen and for later ones: so a test can subscribe first, then record, then say what to wait for.
import { createInterface } from 'node:readline';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { fail, failAfter, log, print, readArguments } from './common.mjs';

const QUERY = `subscription {
  freshness { refreshId asOf refreshedAt nextRefreshAt stalenessSeconds status rowsChanged durationMs error }
}`;

/** Nanoseconds since 1970. A `Date` would drop the microseconds, and call a value current that is not. */
function instant(text) {
  const [, seconds, fraction = '', zone] = /^([^.]*?)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/i.exec(text) ?? [];
  const milliseconds = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(milliseconds)) throw new Error(`not an ISO time with a zone: ${text}`);
  return BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

const { url, until, count, limit } = readArguments('freshness.mjs URL [--until ISO_TIME] [--count N]', {
  until: { type: 'string' },
  count: { type: 'string' },
});
url.protocol = url.protocol.replace('http', 'ws');
url.pathname = '/graphql';

const wanted = { until: undefined, count: undefined };
let values = 0;
let last;
let latestAsOf;

function waitUntil(text) {
  try {
    wanted.until = { text, at: instant(text) };
  } catch (error) {
    fail(error.message);
  }
}

function describe() {
  const goals = [
    wanted.until && `asOf at or after ${wanted.until.text}`,
    wanted.count && `${wanted.count} values`,
  ].filter(Boolean);
  return `${goals.join(' or ') || 'a line "until ISO_TIME" on stdin'}; ${values} values came, the last ${JSON.stringify(last)}`;
}

let ending = false;
async function endWhenDone() {
  const current = wanted.until && latestAsOf !== undefined && latestAsOf >= wanted.until.at;
  if (ending || !(current || values >= wanted.count)) return;
  ending = true;
  await client.dispose();
  process.exit(0);
}

if (until !== undefined) waitUntil(until);
if (count !== undefined) {
  wanted.count = Number(count);
  if (!(Number.isInteger(wanted.count) && wanted.count > 0)) fail('--count is a whole number above 0');
}
failAfter(limit, describe);

const client = createClient({
  url: url.href,
  webSocketImpl: WebSocket,
  on: {
    connected: () => log(`connected to ${url.href}`),
    closed: ({ code, reason }) => log(`closed with ${code} ${reason}`),
  },
});

client.subscribe(
  { query: QUERY },
  {
    async next(result) {
      if (ending || values >= wanted.count) return;
      if (result.errors) fail(`the server answered ${JSON.stringify(result.errors)}`);
      last = result.data.freshness;
      values += 1;
      if (last.asOf !== null) {
        const asOf = instant(last.asOf);
        if (latestAsOf === undefined || asOf > latestAsOf) latestAsOf = asOf;
      }
      await print(last);
      await endWhenDone();
    },
    error(error) {
      // A close that graphql-ws calls fatal, a list of GraphQL errors, or an Error.
      fail(error.code ? `the socket closed with ${error.code} ${error.reason}` : (error.message ?? JSON.stringify(error)));
    },
    complete() {
      if (!ending) fail(`the server ended the subscription while waiting for ${describe()}`);
    },
  },
);

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [, text] = /^until (\S+)$/.exec(line.trim()) ?? [];
  if (text === undefined) fail(`not understood on stdin: ${line}`);
  waitUntil(text);
  await endWhenDone();
});
