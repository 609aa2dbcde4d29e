// Shared by the scenarios of the dashboard: one page in Chromium, and what a person sees and does on it.
//
// A file of scenarios calls `run` with its name and its scenarios; they use `page`, which is open by then.
import { createInterface } from 'node:readline';
import { findBarriers, launch, until, watch } from './browser.mjs';
import { fail, failAfter, log, print, readArguments } from './common.mjs';
import { recordAll } from './made-views.mjs';

let waitingFor = 'Chromium to start';
let waitingShown = 'nothing';
let isAway = false;
let violations = [];

/** The server's address. */
export let url;
/** Where pictures are to go. @type {string} */
export let folder;
/** @type {import('playwright-core').BrowserContext} */
export let context;
/** @type {import('playwright-core').Page} */
export let page;
/** What the test says, line by line. */
export const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/**
 * Runs the scenario that the arguments name, and ends the process.
 * @param {string} file the name of the file of scenarios
 * @param {Record<string, () => Promise<void>>} scenarios
 * @param {(scenario: string) => import('playwright-core').BrowserContextOptions} options for the browser
 */
export async function run(file, scenarios, options = () => ({})) {
  const read = readArguments(`${file} URL --scenario NAME [--folder DIR]`, { scenario: { type: 'string' }, folder: { type: 'string' } });
  const { scenario, limit } = read;
  url = read.url;
  folder = read.folder;
  failAfter(limit, () => `${waitingFor}; the number was ${waitingShown}`);
  const browser = await launch(limit);
  context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options(scenario),
  });
  page = await context.newPage();
  page.setDefaultTimeout(limit * 1000);
  violations = await watch(page, url.host, () => isAway);
  try {
    if (!scenarios[scenario]) throw new Error(`no scenario ${scenario}; there are ${Object.keys(scenarios).join(', ')}`);
    await scenarios[scenario]();
    if (violations.length > 0) throw new Error(violations.join('; '));
    await browser.close();
    process.exit(0);
  } catch (error) {
    fail(`at ${waitingFor}: ${error.message}`);
  }
}

/**
 * While the server is away, errors about that are none of the page's.
 * @param {boolean} away
 */
export function beAway(away) {
  isAway = away;
}

export async function open(path) {
  await step(`the page at ${path}`, async () => {
    const response = await page.goto(new URL(path, url).href);
    equal(response.status(), 200);
    const policy = response.headers()['content-security-policy'];
    if (!policy?.includes("default-src 'none'") || policy.includes('unsafe')) throw new Error(`not a strict policy: ${policy}`);
  });
}

/** Opens the table of the chart's numbers, and returns its rows. */
export async function openTable() {
  const rows = page.locator('#series-rows tr');
  await page.getByText('As a table').click();
  await rows.first().waitFor();
  return rows;
}

/** Waits until the big number says so, of the view that the address says. */
export async function shows(number, unit) {
  await until(async () => {
    if ((await page.locator('#report').getAttribute('aria-busy')) !== 'false') return false;
    const [said, saidUnit] = [await page.locator('#views').textContent(), await page.locator('#views-unit').textContent()];
    waitingShown = `${said} ${saidUnit}`;
    return said === number && (unit === undefined || saidUnit === unit);
  });
}

export async function stateIs(state) {
  await page.locator(`#freshness[data-state="${state}"]`).waitFor();
}

export async function barriers(what) {
  const found = await findBarriers(page);
  if (found.length > 0) throw new Error(`barriers (${what}): ${found.join(' | ')}`);
}

export const record = (increments) => recordAll(url, increments);

/** Lets the test do something, and waits until it is done. */
export async function handOver(next) {
  await print({ next });
  await lines.next();
}

export async function step(what, run) {
  waitingFor = what;
  const result = await run();
  if (violations.length > 0) throw new Error(violations.join('; '));
  log(`done: ${what}`);
  return result;
}

export function equal(found, expected) {
  if (found !== expected) throw new Error(`found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}
