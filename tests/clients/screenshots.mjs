// Makes the pictures in docs/ of a server that has counted nothing yet.
//
//   analytics --services increments,reports & analytics --services wolf --listen 127.0.0.1:8001 &
//   node screenshots.mjs http://127.0.0.1:8000 --folder ../../docs
//
// It records views of the last 62 days, the same for each run but for the dates; then prints {"next": "import"} and waits for a line
// on stdin: until then tests/data/access.log.gz has to be imported. Then it prints {"next": "kill"} and waits for another line: until
// then the Wolf has to be dead.
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { launch, until, watch } from './browser.mjs';
import { fail, failAfter, log, print, readArguments } from './common.mjs';
import { randomNumbers, recordAll } from './made-views.mjs';

const HOUR_MS = 3_600_000;
const HOURS = 62 * 24;
const PAGES = [
  ['/', 'Home', 30],
  ['/blog/freshness-is-a-proof', 'Freshness is a proof, not a guess', 22],
  ['/docs/getting-started', 'Getting started', 18],
  ['/blog/why-we-left-cookies', 'Why we left cookies behind', 12],
  ['/docs/import', 'Import your access logs', 9],
  ['/pricing', 'Pricing', 8],
  ['/docs/graphql', 'The GraphQL API', 7],
  ['/about', 'About us', 5],
  ['/blog/one-binary', 'One binary, three sizes', 4],
  ['/docs/time-zones', 'Time zones, cut where you live', 3],
  ['/changelog', 'Changelog', 2],
  ['/contact', 'Contact', 1],
];

const { url, folder, limit } = readArguments('screenshots.mjs URL --folder DIR', { folder: { type: 'string' } });
let waitingFor = 'Chromium to start';
failAfter(limit, () => waitingFor);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await launch(limit);

try {
  await picture('dashboard-empty', { path: '/', height: 560, ready: (page) => page.getByRole('button', { name: 'Copy' }).waitFor() });
  const views = await recordTwoMonths();
  log(`recorded ${views} views`);
  await picture('dashboard', { path: '/?period=LAST_30_DAYS', height: 1240, ready: showsFreshViews });
  await print({ next: 'import' });
  await lines.next();
  await picture('dashboard-narrow', {
    path: '/?from=2015-05-17&to=2015-05-20&by=HOUR&zone=UTC', width: 390, height: 844, colorScheme: 'dark', ready: showsFreshViews,
  });
  await print({ next: 'kill' });
  await lines.next();
  await picture('dashboard-overdue', { path: '/?period=LAST_7_DAYS', height: 860, ready: showsOverdue });
  await browser.close();
  process.exit(0);
} catch (error) {
  fail(`at ${waitingFor}: ${error.message}`);
}

async function picture(name, { path, width = 1280, height, colorScheme = 'light', ready }) {
  waitingFor = name;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, timezoneId: 'Europe/Berlin', locale: 'en-GB', reducedMotion: 'reduce' });
  page.setDefaultTimeout(limit * 1000);
  const violations = await watch(page, url.host);
  await page.goto(new URL(path, url).href);
  await ready(page);
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
  if (violations.length > 0) throw new Error(violations.join('; '));
  await page.close();
}

async function showsFreshViews(page) {
  await page.locator('#report[data-empty="false"][aria-busy="false"]').waitFor();
  await page.locator('#freshness[data-state="fresh"]').waitFor();
}

async function showsOverdue(page) {
  await page.locator('#report[data-empty="false"][aria-busy="false"]').waitFor();
  await page.locator('#freshness[data-state="overdue"]').waitFor();
}

/** More by day than by night, fewer on weekends, and slowly growing. */
async function recordTwoMonths() {
  const random = randomNumbers();
  const thisHour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const increments = [];
  for (let ago = 0; ago < HOURS; ago += 1) {
    const at = new Date(thisHour - ago * HOUR_MS);
    const daylight = 0.25 + Math.max(0, Math.sin(((at.getUTCHours() - 5) / 24) * 2 * Math.PI - 0.6) + 0.55);
    const weekend = [0, 6].includes(at.getUTCDay()) ? 0.55 : 1;
    for (const [page, title, weight] of PAGES) {
      const views = Math.round(daylight * weekend * weight * (1 - (0.45 * ago) / HOURS) * (0.6 + 0.8 * random()));
      if (views > 0) increments.push({ page, title, views, at: at.toISOString() });
    }
  }
  return recordAll(url, increments);
}
