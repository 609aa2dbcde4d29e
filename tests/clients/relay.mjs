// Compiles a project with Relay's compiler against the schema of a server, and sends the compiled operations to the server.
//
//   node relay.mjs URL [--limit SECONDS]
//
// Prints a line {"operation": NAME, "answer": {...}} for each operation, then {"refused": TEXT}: what the compiler says of a
// field that is not there.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import compiler from 'relay-compiler';
import { fail, failAfter, print, readArguments } from './common.mjs';

const VARIABLES = {
  input: { increments: [{ page: '/relay' }] },
  filter: { pages: { prefix: '/' } },
};
const PROJECT = `
graphql\`query projectQuery($filter: ReportFilter) {
  report(filter: $filter) {
    totals(compareTo: PREVIOUS_PERIOD) { views change }
    pages(first: 5) @connection(key: "project_pages") { edges { node { page ...project_row } } }
  }
}\`;
graphql\`fragment project_row on PageViews { title views share }\`;
graphql\`mutation projectMutation($input: RecordPageViewsInput!) { recordPageViews(input: $input) { views recordedAt } }\`;
graphql\`subscription projectSubscription { freshness { status asOf } }\`;
`;

const { url, limit } = readArguments('relay.mjs URL', {});
failAfter(limit, () => 'the compiler or the server');

const folder = mkdtempSync(join(tmpdir(), 'relay-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
for (const name of ['src', 'compiled']) mkdirSync(join(folder, name));
writeFileSync(join(folder, 'schema.graphql'), await (await fetch(new URL('/schema.graphql', url))).text());
writeFileSync(join(folder, 'relay.config.json'), JSON.stringify({
  src: 'src', schema: 'schema.graphql', language: 'javascript', artifactDirectory: 'compiled',
}));
function compile(source) {
  writeFileSync(join(folder, 'src/project.js'), source);
  const { status, stdout, stderr, error } = spawnSync(compiler, ['relay.config.json'], { cwd: folder, encoding: 'utf8' });
  if (error) throw error;
  return { ok: status === 0, said: `${stdout}${stderr}` };
}

const { ok, said } = compile(PROJECT);
if (!ok) fail(`relay-compiler: ${said}`);
for (const file of readdirSync(join(folder, 'compiled')).sort()) {
  const artifact = readFileSync(join(folder, 'compiled', file), 'utf8');
  const text = /^ *"text": (".*")$/m.exec(artifact)?.[1];
  // A fragment has none.
  if (!text) continue;
  const accept = /^"subscription/.test(text) ? 'text/event-stream' : 'application/json';
  const body = JSON.stringify({ query: JSON.parse(text), variables: VARIABLES });
  const response = await fetch(new URL('/graphql', url), { method: 'POST', headers: { 'content-type': 'application/json', accept }, body });
  await print({ operation: file.replace(/\..*/, ''), answer: await firstAnswer(response) });
}
const refused = compile('graphql`query projectQuery { freshness { nothing } }`;');
await print({ refused: refused.ok ? 'nothing' : refused.said });
process.exit(0);

/** The answer, or the first of a stream. */
async function firstAnswer(response) {
  if (!response.headers.get('content-type').startsWith('text/event-stream')) return response.json();
  let text = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const found = /^data: ?(.+)\n/m.exec(text);
    if (found) return JSON.parse(found[1]);
  }
  throw new Error(`the stream has ended: ${text}`);
}
