// Runs the audits of graphql-http against a server and prints each one's result as a line.
//
//   node audits.mjs URL [--limit SECONDS]
import { serverAudits } from 'graphql-http';
import { failAfter, print, readArguments } from './common.mjs';

const { url, limit } = readArguments('audits.mjs URL', {});
url.pathname = '/graphql';

let current = 'nothing yet';
failAfter(limit, () => `the audit ${current}`);

for (const audit of serverAudits({ url: url.href, fetchFn: fetch })) {
  current = audit.name;
  const { id, name, status, reason } = await audit.fn();
  await print({ id, name, status, reason });
}
process.exit(0);
