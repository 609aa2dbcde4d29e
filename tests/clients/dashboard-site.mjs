// The dashboard of a server whose site has a title.
//
//   node dashboard-site.mjs URL --scenario NAME [--limit SECONDS]
import { until } from './browser.mjs';
import { barriers, beAway, equal, handOver, lines, open, page, run, stateIs, step } from './dashboard-page.mjs';

await run('dashboard-site.mjs', { title, token });

/** The title is the first line on stdin: text, wherever it stands, that fits at each width. */
async function title() {
  const { value: expected } = await lines.next();
  await open('/');
  await step('the title', () => isTitled(expected, '0 views · '));
  equal(await page.locator('header img').count(), 1);
  equal(await page.locator('header script, head script:not([src])').count(), 0);
  await barriers('title');
  for (const width of [360, 768, 1280, 1600]) {
    await step(`no scrolling to the side at ${width} px`, async () => {
      await page.setViewportSize({ width, height: 900 });
      equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    });
  }
}

/** A server that asks for a token, and then goes away. */
async function token() {
  await open('/');
  await step('the title before there is a token', () => isTitled('Example’s figures'));
  await page.getByLabel('Token').fill('right');
  await page.keyboard.press('Enter');
  await step('the report', () => page.locator('#report').waitFor());
  await isTitled('Example’s figures', '0 views · ');
  beAway(true);
  await handOver('stop');
  await step('the word that nothing is connected', () => stateIs('unconnected'));
  const asked = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/dashboard/settings.json'));
  await page.getByRole('button', { name: 'Try now' }).click();
  await step('the settings to be asked for in vain', () => asked);
  await isTitled('Example’s figures', '0 views · ');
}

/** What precedes the title in that of the document comes with the report. */
async function isTitled(expected, before = '') {
  await until(async () => (await page.title()) === before + expected);
  equal((await page.getByRole('heading', { level: 1 }).textContent()).trim(), expected);
}
