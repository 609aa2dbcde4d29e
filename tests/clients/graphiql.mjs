// Uses the GraphiQL page in Chromium as a person would, and holds it to its promise: no internet, nothing its policy forbids.
//
//   node graphiql.mjs URL [--twice] [--screenshot FILE] [--limit SECONDS]
//
// Prints {"query": DATA, "subscription": [DATA, ...]}: one answer of a query, and the first value of a subscription (two with --twice).
import { launch, watch } from './browser.mjs';
import { fail, failAfter, print, readArguments } from './common.mjs';
import { editorText, responseData, writeQuery } from './graphiql-page.mjs';

const QUERY = '{ freshness { status asOf } }';
const SUBSCRIPTION = 'subscription Typed { freshness { status asOf refreshId } }';
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
  await step('the tour, a query first', async () => {
    await until(async () => (await editorText(page, 'query')).includes('query Report'));
    for (const name of ['Report', 'Pages', 'Record', 'Watch']) await page.getByRole('tab', { name }).waitFor();
  });
  await step('the schema in the documentation', async () => {
    await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
    const explorer = page.locator('.graphiql-doc-explorer');
    for (const type of ['Subscription', 'Freshness', 'DateTime']) await explorer.getByText(type, { exact: true }).first().click();
    await explorer.getByText('A moment, written as RFC 3339 has it').waitFor();
  });
  await step('the report of the tour, with its series and the period before', async () => {
    await page.getByRole('button', { name: /^Execute query/ }).click();
    // The whole of it is longer than the pane.
    await until(async () => {
      const text = await editorText(page, 'response');
      return ['"comparableViews"', '"previous"', '"series"', '"localStart"'].every((key) => text.includes(key));
    });
  });
  await step('the other tabs of the tour', async () => {
    for (const [name, answer] of [['Pages', '"sections"'], ['Record', '"recordedAt"'], ['Watch', '"nextRefreshAt"']]) {
      await page.getByRole('tab', { name }).click();
      await until(async () => (await editorText(page, 'query')).includes(name));
      await page.getByRole('button', { name: /^Execute query/ }).click();
      await until(async () => (await editorText(page, 'response')).includes(answer));
    }
    await page.getByRole('button', { name: /^Stop query/ }).click();
  });
  await step('what the editor says of a mistake, in strict styles', async () => {
    await writeQuery(page, '{ nothing } # style="top: 99px" <b style="color: red">');
    await page.locator('.graphiql-query-editor .squiggly-error').waitFor();
    await page.keyboard.press('Control+Home');
    await page.keyboard.press('F8');
    await page.locator('.marker-widget, .zone-widget, .monaco-hover').getByText(/Cannot query field/).first().waitFor();
    await page.keyboard.press('Escape');
  });
  await step('completion', async () => {
    await writeQuery(page, '{ freshness { ');
    await page.keyboard.press('Control+Space');
    await page.locator('.suggest-widget').getByText('asOf').first().waitFor();
    await page.keyboard.press('Escape');
  });
  await step('each line at a height of its own', async () => {
    await writeQuery(page, 'query A { freshness { status } }\nquery B { freshness { asOf } }\nquery C { freshness { error } }');
    await until(async () => {
      const tops = await page.locator('.graphiql-query-editor .view-line').evaluateAll((lines) => lines.map((line) => line.getBoundingClientRect().top));
      return tops.length === 3 && new Set(tops).size === 3 && (await editorText(page, 'query')).includes('query C');
    });
  });
  await step('the menu of operations', async () => {
    // It is the one part of GraphiQL that styles the page in a way that the policy must allow by its hash.
    await until(async () => page.getByRole('button', { name: /^Execute query/ }).getAttribute('aria-haspopup'));
    await page.getByRole('button', { name: /^Execute query/ }).click();
    await page.getByRole('menuitem', { name: 'B' }).click();
    await until(async () => (await responseData(page))?.freshness.asOf);
  });

  const query = await step('the answer of a query that came with ?query=', async () => {
    const link = new URL(pageUrl);
    link.searchParams.set('query', QUERY);
    await open(link);
    await until(async () => (await editorText(page, 'query')) === QUERY);
    await page.getByRole('button', { name: /^Execute query/ }).click();
    return until(() => responseData(page));
  });

  const subscription = await step(`${twice ? 'two values' : 'a value'} of a subscription typed into the editor`, async () => {
    await writeQuery(page, SUBSCRIPTION);
    // GraphiQL parses a moment after the last key; until then it would run the old operation's way.
    await page.getByRole('tab', { name: 'Typed' }).waitFor();
    await page.getByRole('button', { name: /^Execute query/ }).click();
    const values = [];
    await until(async () => {
      const data = await responseData(page);
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
