// Uses the GraphiQL page in Chromium as a person would, and holds it to its promise: no internet, nothing its policy forbids.
//
//   node graphiql.mjs URL [--twice] [--screenshot FILE] [--limit SECONDS]
//
// Prints {"query": DATA, "subscription": [DATA, ...]}: one answer of a query, and the first value of a subscription (two with --twice).
import { launch, watch } from './browser.mjs';
import { fail, failAfter, print, readArguments } from './common.mjs';

const QUERY = '{ freshness { status asOf } }';
const SUBSCRIPTION = 'subscription { freshness { status asOf refreshId } }';
const POLL_MS = 25;

const { url, twice, screenshot, limit } = readArguments('graphiql.mjs URL [--twice] [--screenshot FILE]', {
  twice: { type: 'boolean', default: false },
  screenshot: { type: 'string' },
});

let waitingFor = 'Chromium to start';
failAfter(limit, () => waitingFor);

const browser = await launch(limit);
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.setDefaultTimeout(limit * 1000);
const violations = await watch(page, url.host);

const pageUrl = new URL('/graphiql', url);
try {
  await step('the page', () => open(pageUrl));
  await step('the default query', () => until(async () => (await editorText('query')).includes('recordPageViews')));
  await step('the schema in the documentation', async () => {
    await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
    const explorer = page.locator('.graphiql-doc-explorer');
    for (const type of ['Subscription', 'Freshness', 'DateTime']) await explorer.getByText(type, { exact: true }).first().click();
    await explorer.getByText('A moment, written as RFC 3339 has it').waitFor();
  });
  await step("the default query's report", async () => {
    // The menu of operations is the one part of GraphiQL that styles the page in a way the policy must allow by its hash.
    await page.getByRole('button', { name: /^Execute query/ }).click();
    await page.getByRole('menuitem', { name: 'Report' }).click();
    await until(async () => (await responseData())?.report);
  });

  const query = await step('the answer of a query that came with ?query=', async () => {
    const link = new URL(pageUrl);
    link.searchParams.set('query', QUERY);
    await open(link);
    await until(async () => (await editorText('query')) === QUERY);
    await page.getByRole('button', { name: /^Execute query/ }).click();
    return until(responseData);
  });

  const subscription = await step(`${twice ? 'two values' : 'a value'} of a subscription typed into the editor`, async () => {
    await page.locator('.graphiql-query-editor .CodeMirror').click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(SUBSCRIPTION);
    // GraphiQL parses a moment after the last key; until then it would run the old operation's way.
    await until(async () => (await operationInEditor()) === 'subscription');
    await page.getByRole('button', { name: /^Execute query/ }).click();
    const values = [];
    await until(async () => {
      const data = await responseData();
      // The answer of the query stands there until the first value comes; it has no refreshId.
      if (data?.freshness.refreshId === undefined) return false;
      if (JSON.stringify(data) !== JSON.stringify(values.at(-1))) values.push(data);
      return values.length >= (twice ? 2 : 1);
    });
    return values;
  });

  if (screenshot) await step('the screenshot', () => page.screenshot({ path: screenshot }));
  await step('the subscription to stop', async () => {
    await page.getByRole('button', { name: /^Stop query/ }).click();
    await page.getByRole('button', { name: /^Execute query/ }).waitFor();
  });

  endOnViolation();
  await print({ query, subscription });
  await browser.close();
  process.exit(0);
} catch (error) {
  if (screenshot) await page.screenshot({ path: screenshot }).catch(() => {}); // What it looked like when it failed.
  fail(`at ${waitingFor}: ${error.message}`);
}

async function open(address) {
  const response = await page.goto(address.href);
  if (response.status() !== 200) throw new Error(`${address.pathname} answered ${response.status()}`);
  if (!response.headers()['content-security-policy']) throw new Error(`${address.pathname} came without a Content-Security-Policy`);
}

async function step(what, run) {
  waitingFor = what;
  const result = await run();
  endOnViolation();
  return result;
}

function endOnViolation() {
  if (violations.length > 0) throw new Error(violations.join('; '));
}

/** Calls `probe` until it returns something true. (Playwright's own waitForFunction evaluates strings, which the page's policy forbids.) */
async function until(probe) {
  for (;;) {
    const result = await probe();
    endOnViolation();
    if (result) return result;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The text of GraphiQL's `query` editor or of its response pane; empty before there is one. */
function editorText(name) {
  const selector = name === 'query' ? '.graphiql-query-editor .CodeMirror' : '.graphiql-response .CodeMirror';
  return page.evaluate((found) => document.querySelector(found)?.CodeMirror.getValue() ?? '', selector);
}

/** The kind of the first operation that GraphiQL has parsed from the query editor. */
function operationInEditor() {
  return page.evaluate(() => document.querySelector('.graphiql-query-editor .CodeMirror')?.CodeMirror.operations?.[0]?.operation);
}

/** `data` of the response pane, undefined while there is none. */
async function responseData() {
  const text = await editorText('response');
  if (!text.trim()) return undefined;
  const response = JSON.parse(text);
  if (response.errors) throw new Error(`the server answered ${text}`);
  return response.data;
}
