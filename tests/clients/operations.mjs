// Executes one operation with graphql-ws, as an application would, and prints each result as a line, then how it ended:
// {"ended": "complete"}, {"ended": "errors", "errors": [...]} or {"ended": "closed", "code": ...}.
//
//   node operations.mjs URL --query TEXT [--limit SECONDS]
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { failAfter, print, readArguments } from './common.mjs';

const { url, query, limit } = readArguments('operations.mjs URL --query TEXT', { query: { type: 'string' } });
url.protocol = url.protocol.replace('http', 'ws');
url.pathname = '/graphql';

let results = 0;
failAfter(limit, () => `the end; ${results} results came`);

const client = createClient({ url: url.href, webSocketImpl: WebSocket, retryAttempts: 0 });
const ended = await new Promise((resolve) => {
  client.subscribe(
    { query },
    {
      async next(result) {
        results += 1;
        await print(result);
      },
      error(error) {
        if (Array.isArray(error)) resolve({ ended: 'errors', errors: error });
        else resolve({ ended: 'closed', code: error.code, reason: error.reason });
      },
      complete: () => resolve({ ended: 'complete' }),
    },
  );
});
await print(ended);
await client.dispose();
process.exit(0);
