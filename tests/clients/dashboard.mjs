// Uses the dashboard in Chromium as a person would.
//
//   node dashboard.mjs URL --scenario NAME [--limit SECONDS]
//
// The scenarios are below. Some print {"next": WHAT} and wait for a line on stdin, while the test does something to the server.
import { execFileSync } from 'node:child_process';
import { until } from './browser.mjs';
import { print } from './common.mjs';
import {
  barriers, beAway, context, equal, handOver, lines, open, openTable, page, record, run, shows, stateIs, step, url,
} from './dashboard-page.mjs';
import { editorText } from './graphiql-page.mjs';

const COMPRESSED_BYTES_MAX = 150 * 1024;
const WIDTHS = [360, 1600];

await run('dashboard.mjs', {
  'first-view': firstView, use, states, restart, weight, cut, isolated, 'half-hour-zone': halfHourZone, 'unknown-zone': unknownZone,
}, (scenario) => ({ timezoneId: scenario === 'half-hour-zone' ? 'Asia/Kolkata' : 'Europe/Berlin' }));

/** An empty database: the page's own command records the first view, which appears without a reload. */
async function firstView() {
  await open('/');
  await step('the word that there is nothing', () => page.getByRole('heading', { name: 'Nothing has been counted yet' }).waitFor());
  await barriers('empty');
  const command = await page.locator('#first-view-command').innerText();
  await step('the command to be copied', async () => {
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByText('Copied').waitFor();
    equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  });
  await page.evaluate(() => { window.isTheSamePage = true; });
  execFileSync('sh', ['-c', command], { stdio: 'ignore' });
  await step('the first view', () => shows('1', 'view'));
  await step('its page', () => page.getByRole('link', { name: 'Hello /hello' }).waitFor());
  equal(await page.getByRole('heading', { name: 'Nothing has been counted yet' }).isVisible(), false);

  // A client that may record can write anything into a name.
  const name = '/"><img src=x onerror=alert(1)>&amp;\u200f';
  const title = '<script>alert(2)</script><b onclick="alert(3)">';
  await record([{ page: name, title, views: 5 }]);
  await step('the hostile page', () => shows('6', 'views'));
  const link = page.locator('#page-rows a.page').first();
  equal(await link.locator('b').textContent(), title);
  equal(await link.locator('small').textContent(), name);
  await link.click();
  await step('its filter', () => shows('5', 'views'));
  equal(await page.locator('#chip b').textContent(), name);
  equal(await page.locator('main img, main script, main [onclick], main [onerror]').count(), 0);
  equal(await page.evaluate(() => window.isTheSamePage), true);
}

/** Names of before bidirectional controls were refused: each is drawn so that nothing around it changes its direction. */
async function isolated() {
  const title = 'Title\u202e\u2066';
  const name = '/name\u202e';
  await open('/?period=ALL_TIME');
  await step('the page with controls in its name', () => shows('7', 'views'));
  const row = page.locator('#page-rows tr').first();
  const isIsolated = async (box, text) => {
    const innermost = page.locator(`${box} bdi`);
    equal(await innermost.textContent(), text);
    equal(await innermost.evaluate((element) => getComputedStyle(element).unicodeBidi), 'isolate');
  };
  await isIsolated('#page-rows b', title);
  await isIsolated('#page-rows small', name);
  await row.locator('a').click();
  await step('its filter', async () => {
    await page.locator('#chip b').waitFor();
    await isIsolated('#chip', name);
  });
  await open(`/?period=ALL_TIME&page=${encodeURIComponent('/none\u202e')}`);
  await step('the word that there is nothing of it', async () => {
    await page.getByRole('heading', { name: 'No views, at any time' }).waitFor();
    equal(await page.locator('#nothing-text').textContent(), 'Nothing was ever counted for “/none\u202e”.');
    await isIsolated('#nothing-text', '/none\u202e');
  });
}

/** A log of 2015 was imported, and views were recorded today. */
async function use() {
  await open('/?period=LAST_MONTH');
  await step('the offer of the nearest views', async () => {
    await page.getByRole('heading', { name: 'No views in this period' }).waitFor();
    await barriers('no views in this period');
    equal((await page.locator('#nothing-text').innerText()).startsWith('The nearest are '), true);
  });
  const today = await page.locator('#nothing-offers a.primary').innerText();
  await page.locator('#nothing-offers a.primary').click();
  await step(`the nearest views: ${today}`, () => shows('9', 'views'));
  equal(new URL(page.url()).searchParams.has('from'), true);

  await step('all time', async () => {
    await page.getByRole('link', { name: 'All time' }).click();
    await shows('2,557', 'views');
  });
  await step('a custom range', async () => {
    await page.getByText('Custom…').click();
    await page.getByLabel('From').fill('2015-05-17');
    await page.getByLabel('To, included').fill('2015-05-31');
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await shows('2,548', 'views');
    await page.getByText(/17\s–\s31 May 2015/).waitFor();
  });
  const all = page.url();
  const first = page.locator('#page-rows tr').first();
  const [name, views] = [await first.locator('b').innerText(), await first.locator('td').first().innerText()];
  await step('the page that was clicked', async () => {
    await first.locator('a').click();
    await shows(views);
    equal(await page.locator('#chip b').innerText(), name);
    equal(new URL(page.url()).searchParams.get('page'), name);
  });
  await step('the way back, forth, and back', async () => {
    await page.goBack();
    await shows('2,548');
    equal(page.url(), all);
    await page.goForward();
    await shows(views);
    await page.goBack();
    await shows('2,548');
  });
  await step('another page with the same address', async () => {
    await page.reload();
    await shows('2,548');
  });
  await step('a filter that was typed', async () => {
    await page.getByRole('combobox', { name: /^Find pages/ }).fill('/blog/');
    await page.keyboard.press('Enter');
    await page.getByText('Pages that begin with').waitFor();
    await until(async () => (await page.locator('#views').innerText()) !== '2,548');
    await page.getByRole('link', { name: 'Show all pages' }).click();
    await shows('2,548');
  });
  await step('more pages', async () => {
    await page.getByRole('link', { name: 'Next pages' }).click();
    await page.locator('#pager-rows', { hasText: '26–50 of ' }).waitFor();
  });
  await step('another time zone', async () => {
    equal(await page.locator('#zone').inputValue(), '');
    await page.locator('#zone').selectOption('America/New_York');
    await page.getByText(/17\s–\s31 May 2015, America.New_York/).waitFor();
  });
  await step('another granularity', async () => {
    await page.getByRole('link', { name: 'Hour', exact: true }).click();
    await openTable();
    await until(async () => (await page.locator('#series-rows tr').count()) === 15 * 24);
  });
  await byKeyboard();
  await step('incomplete buckets', async () => {
    await open('/?period=TODAY&zone=UTC');
    await shows('9');
    await page.getByText('not over yet').waitFor();
    const hour = new Date().getUTCHours();
    const rows = await openTable();
    equal(await rows.count(), 24);
    equal(['still counting', 'not yet', ''].includes(await rows.nth(hour).locator('td').last().innerText()), true);
    if (hour < 22) equal(await rows.last().locator('td').last().innerText(), 'not yet');
  });
  await step('a time zone that the server does not know', async () => {
    // Browsers take offsets for zones.
    await open('/?zone=%2B05:30');
    await page.getByRole('alert').filter({ hasText: 'timeZone must be an IANA name' }).waitFor();
    equal(await page.locator('#report').isVisible(), false);
    await page.locator('#zone').selectOption('UTC');
    await shows('9', 'views');
    equal(await page.locator('#problem').isVisible(), false);
  });
  await looks();
  await graphiql();
}

/** Nothing but keys: the period, the chart's bars, the range's form. */
async function byKeyboard() {
  await step('everything by keyboard', async () => {
    await open('/?period=ALL_TIME&zone=UTC');
    await shows('2,557');
    await page.locator('#chart').focus();
    await page.keyboard.press('Home');
    await page.getByRole('status').filter({ hasText: 'May 2015: 2,548 views' }).waitFor();
    await page.keyboard.press('End');
    await page.getByRole('status').filter({ hasText: '9 views, still counting' }).waitFor();
    const today = page.getByRole('link', { name: 'Today', exact: true });
    await tabTo(today);
    await page.keyboard.press('Enter');
    await shows('9');
    equal(await today.evaluate((link) => link === document.activeElement), true);
    await tabTo(page.locator('#custom summary'));
    await page.keyboard.press('Enter');
    await page.getByLabel('From').waitFor();
    await page.keyboard.press('Escape');
    await page.getByLabel('From').waitFor({ state: 'hidden' });
  });
}

async function tabTo(locator) {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('the key Tab does not lead there');
}

/** Narrow and wide, light and dark: nothing that axe calls serious, nothing that has to be scrolled sideways. */
async function looks() {
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await step(`${width} pixels, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await open('/?period=ALL_TIME&by=MONTH');
        await shows('2,557');
        await barriers(`${width} ${colorScheme}`);
        equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
        equal(await page.locator('#report').evaluate((element) => getComputedStyle(element).transitionDuration), '0s');
      });
    }
  }
}

/** The very query, run there, says the same. */
async function graphiql() {
  await step('the same in GraphiQL', async () => {
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.getByRole('link', { name: 'Open in GraphiQL' }).click();
    await page.getByRole('button', { name: /^Execute query/ }).click();
    await until(async () => (await editorText(page, 'response')).includes('"views": 2557,'));
  });
}

/** Prints each state of the freshness line, until stdin ends. */
async function states() {
  await open('/');
  let last;
  let ended = false;
  lines.next().then(() => { ended = true; });
  while (!ended) {
    const state = await page.locator('#freshness').getAttribute('data-state');
    if (state !== last) {
      last = state;
      const text = `${await page.locator('#freshness').textContent()} ${await page.locator('#freshness-more').textContent()}`;
      await print({ state, text, reason: await page.locator('#freshness-reason').textContent() });
      if (state !== 'connecting') await barriers(state);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A server that goes away and comes back. */
async function restart() {
  await open('/?period=TODAY&zone=UTC');
  await step('the view before', () => shows('1', 'view'));
  await step('a fresh report', () => stateIs('fresh'));
  beAway(true);
  await handOver('stop');
  await step('the word that nothing is connected', () => stateIs('unconnected'));
  await until(async () => /as of .+ (Next try at .+|Trying to connect)\.$/.test(await page.locator('#freshness-more').textContent()));
  equal(await page.locator('#views').innerText(), '1');
  await barriers('not connected');
  await handOver('start');
  await page.getByRole('button', { name: 'Try now' }).click({ timeout: 2_000 }).catch(() => {});
  await step('a fresh report again', () => stateIs('fresh'));
  beAway(false);
  await record([{ page: '/after', views: 2 }]);
  await step('the view after', () => shows('3', 'views'));
}

/** 7 views were recorded on each of 3, 10 and 17 March 2026, Tuesdays, at noon, and nothing before. */
async function cut() {
  await open('/?from=2026-03-03&to=2026-03-20&by=WEEK&zone=UTC');
  await step('the weeks that the period cuts', async () => {
    await shows('21', 'views');
    await page.getByText('cut by the period: only a part of the week').waitFor();
    equal(await page.locator('#chart-note').isVisible(), false);
    await openTable();
    const remarks = await page.locator('#series-rows tr td:last-child').allTextContents();
    equal(remarks.join('|'), 'only a part of the week||only a part of the week');
    const name = await page.locator('#chart').getAttribute('aria-label');
    equal(name.includes(', the first and the last only a part of the week.'), true);
    await page.locator('#chart').focus();
    await page.keyboard.press('Home');
    await page.getByRole('status').filter({ hasText: 'Week of 3 Mar 2026: 7 views, only a part of the week' }).waitFor();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('status').filter({ hasText: /^Week of 9 Mar 2026: 7 views$/ }).waitFor();
    await page.keyboard.press('Escape');
    await until(async () => (await hatchedBars(3)) === 'true|false|true');
    await barriers('cut weeks');
  });
  await step('since when is counted', () => page.getByText('Counted since 3 Mar 2026: nothing before it to compare with').waitFor());
  await step('weeks that are whole', async () => {
    await open('/?from=2026-03-09&to=2026-03-22&by=WEEK&zone=UTC');
    await shows('14', 'views');
    equal(await page.locator('#chart-cut').isVisible(), false);
    equal(await hatchedBars(2), 'false|false');
  });
  await step('a comparison with what was counted', async () => {
    await open('/?from=2026-03-11&to=2026-03-17&zone=UTC');
    await shows('7', 'views');
    await page.getByText('Unchanged against 7 in as much time before').waitFor();
  });
  await step('all time', async () => {
    await open('/?period=ALL_TIME&by=MONTH&zone=UTC');
    await shows('21', 'views');
    await page.getByText('Counted since 3 Mar 2026').waitFor();
  });
}

/** Whether each bar of so many is of more than one colour, low down where they all are. */
async function hatchedBars(count) {
  return page.evaluate((bars) => {
    const canvas = document.querySelector('#chart canvas');
    const [all, over] = [canvas.getBoundingClientRect(), document.querySelector('#chart .u-over').getBoundingClientRect()];
    const scale = canvas.width / all.width;
    const height = Math.round(over.height * scale * 0.3);
    const top = Math.round((over.bottom - all.top) * scale) - height - 4;
    return Array.from({ length: bars }, (_, index) => {
      const left = Math.round((over.left - all.left + ((index + 0.5) * over.width) / bars) * scale);
      const { data } = canvas.getContext('2d').getImageData(left - 8, top, 16, height);
      return new Set(new Uint32Array(data.buffer)).size > 1;
    }).join('|');
  }, count);
}

/** A view was recorded just now; the browser is in Kolkata. */
async function halfHourZone() {
  const lastRow = async () => (await page.locator('#series-rows tr th').allTextContents()).at(-1);
  await open('/');
  await step('the last row by day: the local date', async () => {
    await shows('1', 'view');
    await openTable();
    // By its offset floored to whole hours, 5, as the hours of the report.
    await until(async () => (await lastRow()) === named(5, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' }));
    equal(await page.locator('#series-rows tr').count(), 7);
    await page.getByText(/^[^:]*, Asia.(Kolkata|Calcutta) · cut at whole hours of UTC$/).waitFor();
  });
  await step('the only row by month: this month', async () => {
    await open('/?period=THIS_MONTH&by=MONTH&zone=Australia/Adelaide');
    await openTable();
    const hours = new Intl.DateTimeFormat('en', { timeZone: 'Australia/Adelaide', timeZoneName: 'longOffset' }).format().match(/GMT\+(\d+):30/)[1];
    await until(async () => (await lastRow()) === named(Number(hours), { month: 'long', year: 'numeric' }));
    equal(await page.locator('#series-rows tr').count(), 1);
  });
}

/** A browser that does not know where it is. */
async function unknownZone() {
  await page.addInitScript(() => {
    const { resolvedOptions } = Intl.DateTimeFormat.prototype;
    Intl.DateTimeFormat.prototype.resolvedOptions = function () {
      return { ...resolvedOptions.call(this), timeZone: 'Etc/Unknown' };
    };
  });
  for (const address of ['/', '/?zone=Etc/Unknown']) {
    await open(address);
    await step(`the report at ${address} in UTC`, async () => {
      await shows('1', 'view');
      await page.getByText(/^[^:]*, UTC$/).waitFor();
      equal(await page.locator('option[value=""]', { hasText: 'yours' }).textContent(), 'UTC (yours)');
    });
  }
}

/**
 * The local time at an offset of so many hours from UTC.
 * @param {number} hours
 * @param {Intl.DateTimeFormatOptions} options
 */
function named(hours, options) {
  return new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options }).format(Date.now() + hours * 3_600_000);
}

/** What the page weighs on the wire, all of it. */
async function weight() {
  const debug = await context.newCDPSession(page);
  let bytes = 0;
  await debug.send('Network.enable');
  debug.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
  await open('/');
  await step('the report', () => page.locator('#report').waitFor());
  await page.waitForLoadState('networkidle');
  await print({ bytes });
  if (bytes > COMPRESSED_BYTES_MAX) throw new Error(`the page weighs ${bytes} bytes, more than ${COMPRESSED_BYTES_MAX}`);
}
