// Executes an operation with graphql-sse, as an application would, and prints each result as a line, then how it ended:
// {"ended": "complete"}, or {"ended": "error", ...}.
//
//   node events.mjs URL --query TEXT [--count N] [--limit SECONDS]
//
// Leaves after N results.
import { createClient } from 'graphql-sse';
import { failAfter, log, print, readArguments } from './common.mjs';

const { url, query, count, limit } = readArguments('events.mjs URL --query TEXT [--count N]', {
  query: { type: 'string' },
  count: { type: 'string' },
});
url.pathname = '/graphql';

let results = 0;
failAfter(limit, () => `the end; ${results} results came`);

const client = createClient({ url: url.href, retryAttempts: 0, on: { connected: () => log(`connected to ${url.href}`) } });
await new Promise((resolve) => {
  const leave = client.subscribe(
    { query },
    {
      async next(result) {
        results += 1;
        const left = results === Number(count);
        if (count !== undefined && results > Number(count)) return;
        await print(result);
        if (left) {
          leave();
          resolve();
        }
      },
      async error(error) {
        await print({ ended: 'error', message: error.message });
        resolve();
      },
      async complete() {
        if (count === undefined) await print({ ended: 'complete' });
        resolve();
      },
    },
  );
});
process.exit(0);
