// A page whose name resolves to the server's address (DNS rebinding), in Chromium: which requests of it succeed.
//
//   node rebinding.mjs URL --name NAME [--limit SECONDS]
//
// NAME is resolved to the address in URL. Prints one line with the statuses of the page's requests, and whether its socket
// was opened.
import { launch } from './browser.mjs';
import { failAfter, print, readArguments } from './common.mjs';

const { url, name, limit } = readArguments('rebinding.mjs URL --name NAME', { name: { type: 'string' } });
failAfter(limit, () => 'the page');
const browser = await launch(limit, [`--host-resolver-rules=MAP ${name} ${url.hostname}`]);
const page = await browser.newPage();
const origin = `http://${name}:${url.port}`;
const response = await page.goto(`${origin}/`);
const asked = await page.evaluate(async () => {
  const headers = { 'content-type': 'application/json' };
  const ask = async (path, body) => {
    const response = await fetch(path, body ? { method: 'POST', headers, body: JSON.stringify(body) } : {});
    return { status: response.status, text: await response.text() };
  };
  const opened = await new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/graphql`, 'graphql-transport-ws');
    socket.onopen = () => resolve(true);
    socket.onerror = () => resolve(false);
  });
  return {
    origin: location.origin,
    read: await ask('/graphql', { query: '{ report { totals { views } } }' }),
    readByGet: await ask(`/graphql?query=${encodeURIComponent('{ freshness { status } }')}`),
    record: await ask('/graphql', { query: 'mutation { recordPageViews(input: {increments: [{page: "/rebound"}]}) { views } }' }),
    schema: await ask('/schema.graphql'),
    graphiql: await ask('/graphiql'),
    opened,
  };
});
await print({ page: response.status(), ...asked });
await browser.close();
process.exit(0);
