// Where a server gives reports to those with the token "right" only, and has counted 42 views this year.
//
//   node dashboard-token.mjs URL --scenario NAME [--limit SECONDS]
import { until } from './browser.mjs';
import { barriers, context, equal, open, page, run, shows, stateIs, step } from './dashboard-page.mjs';
import { editorText } from './graphiql-page.mjs';

const REPORT = '/?period=ALL_TIME';

await run('dashboard-token.mjs', { tab, device, card });

function field() {
  return page.getByLabel('Token', { exact: true });
}

function kept(which = page) {
  return which.evaluate(() => [sessionStorage.getItem('token'), localStorage.getItem('token'), document.cookie].join('|'));
}

async function tell(text) {
  await field().fill(text);
  await page.keyboard.press('Enter');
}

/** The token is kept in the tab, for GraphiQL too, until it is forgotten. */
async function tab() {
  await open(REPORT);
  await step('the report for the right token', async () => {
    await tell('right');
    await shows('42', 'views');
    await stateIs('fresh');
    equal(await field().isVisible(), false);
    equal(await kept(), 'right||');
  });
  await step('the report after a reload', async () => {
    await page.reload();
    await shows('42', 'views');
    equal(await kept(), 'right||');
  });
  await sameInGraphiql();
  await open(REPORT);
  await step('the report on the way back', () => shows('42', 'views'));
  await page.getByRole('button', { name: 'Forget the token' }).click();
  await step('the field after the token was forgotten', async () => {
    await field().waitFor();
    equal(await kept(), '||');
  });
}

/** Kept on the device, it opens the report in every tab; forgotten in one it is forgotten in all. */
async function device() {
  await open(REPORT);
  await step('a token that is kept', async () => {
    await field().fill('right');
    await page.getByLabel('Keep on this device').check();
    await page.getByRole('button', { name: 'Show the report' }).click();
    await shows('42', 'views');
    equal(await kept(), '|right|');
  });
  const other = await context.newPage();
  await step('another tab', async () => {
    await other.goto(page.url());
    await until(async () => (await other.locator('#views').textContent()) === '42');
    equal(await kept(other), '|right|');
  });
  await sameInGraphiql();
  await step('the field in both tabs, after the token was forgotten in one', async () => {
    await other.getByRole('button', { name: 'Forget the token' }).click();
    await other.getByLabel('Token', { exact: true }).waitFor();
    equal(await kept(other), '||');
    await open(REPORT);
    await field().waitFor();
  });
  await step('the same where the report is open in both', async () => {
    for (const tab of [page, other]) {
      await tab.getByLabel('Token', { exact: true }).fill('right');
      await tab.getByLabel('Keep on this device').check();
      await tab.getByRole('button', { name: 'Show the report' }).click();
      await until(async () => (await tab.locator('#views').textContent()) === '42' && !(await tab.locator('#token-card').isVisible()));
    }
    await other.getByRole('button', { name: 'Forget the token' }).click();
    await field().waitFor();
    equal(await page.locator('#report').isVisible(), false);
  });
}

/** One card and nothing else, in words for everybody; password managers find what they need. */
async function card() {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const width of [360, 768, 1280, 1600]) {
      await page.setViewportSize({ width, height: 900 });
      await open(REPORT);
      await step(`the card at ${width}, ${colorScheme}`, async () => {
        await field().waitFor();
        equal(await field().evaluate((input) => input === document.activeElement), true);
        await barriers(`token ${width} ${colorScheme}`);
        equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      });
    }
  }
  await step('nothing else that could be used or read', async () => {
    const usable = await page.locator('a, button, input, select, summary, [tabindex="0"]').evaluateAll((all) => all.filter((one) => one.checkVisibility() && one.tabIndex >= 0).map(({ id, type }) => id || type));
    equal(usable.join(), 'token,token-keep,submit');
    const text = await page.locator('body').innerText();
    if (/authorization|bearer|header|graphql|UNAUTHENTICATED/i.test(text)) throw new Error(`a sentence for programmers: ${text}`);
  });
  await step('what password managers look for', async () => {
    equal(await field().getAttribute('autocomplete'), 'current-password');
    const user = page.locator('form:has(#token) input[autocomplete="username"]');
    equal(await user.inputValue(), new URL(page.url()).host);
  });
  await step('the answer to a wrong token', async () => {
    await tell('wrong');
    await page.getByRole('alert').filter({ hasText: 'This token is not accepted' }).waitFor();
    equal(await field().isVisible(), true);
    await barriers('wrong token');
  });
  await step('the report for the right one after it, with the controls', async () => {
    await tell('right');
    await shows('42', 'views');
    await page.getByRole('link', { name: 'Today', exact: true }).waitFor();
  });
}

async function sameInGraphiql() {
  await step('the same in GraphiQL', async () => {
    await page.getByRole('link', { name: 'Open in GraphiQL' }).click();
    equal(new URL(page.url()).href.includes('right'), false);
    await page.getByRole('button', { name: /^Execute query/ }).click();
    await until(async () => (await editorText(page, 'response')).includes('"views": 42,'));
    const isElsewhere = () => Object.entries(localStorage).some(([name, value]) => name !== 'token' && value.includes('right'));
    equal(await page.evaluate(isElsewhere), false);
  });
}
