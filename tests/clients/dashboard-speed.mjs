// Measures how long the dashboard takes from an interaction until what it asks for is drawn, with 13 months of 1,047 pages.
// For bench/, which prints the figures; nothing is asserted about them.
//
//   node dashboard-speed.mjs URL [--runs N] [--limit SECONDS]
//
// The server has counted nothing yet, and refreshes each second. Prints a line {"interaction": TEXT, "ms": [...]} for each.
import { launch, until, watch } from './browser.mjs';
import { fail, failAfter, print, readArguments } from './common.mjs';
import { DAYS, recordYear } from './site-data.mjs';

const DAY_MS = 86_400_000;
const PAGES = ['/', '/pricing', '/blog/launch', '/docs/start/', '/about', '/blog/time-zones-8', '/products/reports-12'];

const { url, runs, limit } = readArguments('dashboard-speed.mjs URL [--runs N]', { runs: { type: 'string', default: '15' } });
let waitingFor = 'Chromium to start';
failAfter(limit, () => waitingFor);
const browser = await launch(limit);
const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, timezoneId: 'UTC', locale: 'en-GB' });
page.setDefaultTimeout(limit * 1000);
const violations = await watch(page, url.host);

const dayAgo = (days) => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
const at = (run, choices) => choices[run % choices.length];
const year = `from=${dayAgo(DAYS)}&to=${dayAgo(0)}`;

/** What is done: a name, where it begins, and what the run with a number does. */
const INTERACTIONS = [
  ['choose a period', '', (run) => view(`period=${at(run, ['LAST_30_DAYS', 'THIS_MONTH', 'LAST_MONTH', 'YESTERDAY'])}`)],
  ['choose 13 months, by day', '', (run) => view(`from=${dayAgo(DAYS - run)}&to=${dayAgo(0)}&by=DAY`)],
  ['choose weeks', year, (run) => view(`${year}&by=${at(run, ['WEEK', 'MONTH'])}`)],
  ['zoom into a month', year, (run) => view(`from=${dayAgo(60 + run)}&to=${dayAgo(30 + run)}`)],
  ['compare with last year', 'period=LAST_30_DAYS', (run) => view(`period=LAST_30_DAYS&compare=${at(run, ['SAME_WEEKDAYS_LAST_YEAR', 'SAME_PERIOD_LAST_YEAR'])}`)],
  ['open a page of its own', 'period=LAST_30_DAYS', (run) => view(`period=LAST_30_DAYS&page=${encodeURIComponent(at(run, PAGES))}`)],
  ['filter by a part of a name', 'period=LAST_30_DAYS', (run) => view(`period=LAST_30_DAYS&search=${at(run, ['docs', 'blog', 'month', 'cook'])}`)],
  ['sort by change', 'period=LAST_30_DAYS', () => view('period=LAST_30_DAYS&order=CHANGE')],
  ['sort by name', 'period=LAST_30_DAYS', () => view('period=LAST_30_DAYS&order=NAME')],
  ['turn to a page of the list', 'period=LAST_30_DAYS', (run) => view(`period=LAST_30_DAYS&row=${26 + 25 * (run % 30)}`)],
  ['show the sections', 'period=LAST_30_DAYS', () => view('period=LAST_30_DAYS&list=sections')],
  ['open a section', 'period=LAST_30_DAYS&list=sections', (run) => view(`period=LAST_30_DAYS&list=sections&folder=${encodeURIComponent(at(run, ['/docs/', '/blog/', '/products/']))}`)],
];

try {
  waitingFor = '13 months to be recorded';
  const views = await recordYear(url);
  const expected = new Intl.NumberFormat('en').format(views);
  await page.goto(new URL(`/?${year}`, url).href);
  await until(async () => (await page.locator('#views').textContent()) === expected);
  for (const [interaction, start, act] of INTERACTIONS) {
    const ms = [];
    for (let run = 0; run < Number(runs); run += 1) {
      waitingFor = `${interaction}, run ${run}`;
      await view(start);
      ms.push(await act(run));
    }
    await print({ interaction, ms });
  }
  if (violations.length > 0) throw new Error(violations.join('; '));
  await browser.close();
  process.exit(0);
} catch (error) {
  fail(`at ${waitingFor}: ${error.message}`);
}

/** Shows the view of an address, as a link of the page does; returns the milliseconds until the browser has drawn it. */
function view(search) {
  return page.evaluate(async (address) => {
    const begun = performance.now();
    history.pushState(null, '', address);
    dispatchEvent(new PopStateEvent('popstate'));
    // What waits for an answer is marked at once.
    await new Promise((resolve) => {
      const isDrawn = () => document.querySelector('[aria-busy="true"]') === null;
      if (isDrawn()) {
        resolve();
        return;
      }
      const observer = new MutationObserver(() => {
        if (!isDrawn()) return;
        observer.disconnect();
        resolve();
      });
      observer.observe(document.body, { attributes: true, attributeFilter: ['aria-busy'], subtree: true });
    });
    // The next task after the frame.
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - begun;
  }, `/?${search}`);
}
