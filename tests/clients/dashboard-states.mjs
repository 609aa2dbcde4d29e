// Makes a picture of each main state of the dashboard, at four widths, in light and dark, of a site with 13 months and 1,047
// pages; and looks for barriers in each, and for what is wider than the window.
//
//   node dashboard-states.mjs URL --scenario NAME --folder DIR [--limit SECONDS]
import { join } from 'node:path';
import { until } from './browser.mjs';
import { barriers, folder, handOver, open, page, run, step, url } from './dashboard-page.mjs';
import { DAYS, recordYear } from './site-data.mjs';

const WIDTHS = [360, 768, 1280, 1600];
/** Those at which barriers are looked for. */
const JUDGED = [360, 1280];
const HEIGHT = 900;

await run('dashboard-states.mjs', { year, token });

/** A server without views at first; after the states with views the Wolf dies. */
async function year() {
  await pictures('empty', '/', () => page.getByRole('button', { name: 'Copy' }).waitFor());
  const views = await step('13 months to be recorded', () => recordYear(url));
  const all = `/?from=${dayAgo(DAYS)}&to=${dayAgo(0)}&zone=UTC`;
  const expected = new Intl.NumberFormat('en').format(views);
  await open(all);
  await step('the report of them', () => until(async () => (await page.locator('#views').textContent()) === expected));
  await pictures('days-7', '/', drawn);
  await pictures('months-13', `${all}&by=DAY`, drawn);
  await pictures('tip', '/?period=LAST_30_DAYS', async () => {
    await drawn();
    await page.locator('#chart').focus();
    await page.keyboard.press('End');
    await page.locator('#chart-tip').waitFor();
  });
  await pictures('calendar', '/?period=LAST_30_DAYS', async () => {
    await drawn();
    await page.getByText('Custom…').click();
    await page.locator('#calendar-weekdays').waitFor();
  });
  await pictures('matches', '/?period=LAST_30_DAYS', async () => {
    await drawn();
    await page.locator('#search').pressSequentially('start');
    await page.locator('#matches [role="option"]').first().waitFor();
  });
  await pictures('keys', '/?period=LAST_30_DAYS', async () => {
    await drawn();
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
  });
  await pictures('compared', '/?period=LAST_30_DAYS&compare=SAME_WEEKDAYS_LAST_YEAR', drawn);
  await pictures('page', `/?period=LAST_30_DAYS&page=${encodeURIComponent('/pricing')}`, drawn);
  await pictures('sections', '/?period=LAST_30_DAYS&list=sections', drawn);
  await pictures('folder', '/?period=LAST_30_DAYS&list=sections&folder=%2Fdocs%2F', drawn);
  await pictures('changed', '/?period=LAST_7_DAYS&order=CHANGE', listed);
  await pictures('last-rows', '/?period=LAST_30_DAYS&row=1026', listed);
  await pictures('nothing-found', `/?search=${encodeURIComponent('nothing has this in it')}`, () => page.getByRole('heading', { name: /^No views/ }).waitFor());
  await handOver('kill');
  await pictures('overdue', '/', async () => {
    await drawn();
    await page.locator('#freshness[data-state="overdue"]').waitFor();
  });
}

/** A server that asks for a token. */
async function token() {
  await pictures('token', '/', () => page.getByLabel('Token', { exact: true }).waitFor());
}

/** The page at an address, once it is as it should be, at each width in light and dark. */
async function pictures(name, address, isThere) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: HEIGHT });
      await open(address);
      await step(`${name} at ${width} px, ${colorScheme}`, async () => {
        await isThere();
        await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) throw new Error(`the page is ${wide} px wider than the window`);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        if (JUDGED.includes(width)) await barriers(`${name} at ${width} px, ${colorScheme}`);
      });
    }
  }
}

async function drawn() {
  await page.locator('#report[data-empty="false"][aria-busy="false"]').waitFor();
  await page.locator('#chart canvas').waitFor();
}

/** The list may be asked for behind the report. */
async function listed() {
  await drawn();
  await page.locator('#page-rows tr').first().waitFor();
}

/** A day of UTC, counted back from today. */
function dayAgo(days) {
  return new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
}
