// Puts the parts together: the address says what is shown, the feed brings it, the parts draw it.

import { Chart } from './chart.js';
import { Controls } from './controls.js';
import { find, followLinks, keepPlace, mark, say } from './dom.js';
import { Nothing } from './elsewhere.js';
import { Feed, NEEDS_TOKEN } from './feed.js';
import { FreshnessLine } from './freshness.js';
import { PageList } from './pages.js';
import { granularityOf, periodNamed } from './periods.js';
import { FRESHNESS, REPORT } from './query.js';
import { Search } from './search.js';
import { readSiteSettings } from './site.js';
import { LIST_FIRST, ROWS, addressOf, filterOf, readView, zoneOf } from './state.js';
import { showSummary } from './summary.js';
import { TokenCard } from './token.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./feed.js').Problem} Problem */

const DAY_MS = 86_400_000;

const body = find('report', HTMLElement);
const problemBox = find('problem', HTMLElement);
const tryNow = find('try-now', HTMLButtonElement);

let view = readView(location.search);
/** How many days the view has; known beforehand, except of all time. */
let days = NaN;
/**
 * The report that is drawn, if it is of this view, and not of the one before.
 * @type {import('./schema.js').ReportData['report'] | null}
 */
let drawn = null;
let endReport = () => {};
let endFreshness = () => {};

const freshness = new FreshnessLine();
const feed = new Feed((connection) => {
  freshness.connectionIs(connection);
  tryNow.hidden = connection.kind !== 'waiting' && connection.kind !== 'refused';
});
const controls = new Controls(view, go);
const search = new Search(view, feed, go);
const list = new PageList(feed, go);
const chart = new Chart();
const tokenCard = new TokenCard(restart);
const nothing = new Nothing(feed);

/**
 * @param {string} address
 * @param {boolean} isTyped while one types, no letter is a step of the way back
 */
function go(address, isTyped = false) {
  if (address === addressOf(view)) return;
  const path = address === '?' ? location.pathname : address;
  if (isTyped) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  show(readView(location.search));
}

/** @param {View} next */
function show(next) {
  const asks = (/** @type {View} */ of) => addressOf({ ...of, list: LIST_FIRST, height: null });
  const isSame = asks(next) === asks(view);
  view = next;
  freshness.zone = zoneOf(view);
  keepPlace(() => controls.show(view));
  search.show(view);
  if (isSame && drawn) {
    const report = drawn;
    // Only what is made of it is another, and links lead to that, too.
    keepPlace(() => drawAll(report, granularityOf(days, view.granularity)));
    list.show(report, view);
    return;
  }
  days = daysOf(view);
  drawn = null;
  nothing.hide();
  watchReport();
}

/** @param {View} of */
function daysOf({ interval }) {
  if ('period' in interval) return periodNamed(interval.period)?.days ?? NaN;
  return (Date.parse(interval.to) - Date.parse(interval.from)) / DAY_MS + 1;
}

function watchReport() {
  const granularity = granularityOf(days, view.granularity);
  /** @type {import('./schema.js').ReportVariables} */
  const variables = { filter: filterOf(view), granularity, first: ROWS };
  find('graphiql', HTMLAnchorElement).href = `/graphiql?${new URLSearchParams({
    query: REPORT,
    variables: JSON.stringify(variables, null, 2),
  })}`;
  // What is shown is of the view before, until the first answer to this one comes.
  isBusy(true);
  endReport();
  endReport = feed.watch(REPORT, variables, {
    data: (/** @type {import('./schema.js').ReportData} */ { report }) => draw(report, granularity),
    problem: tellProblem,
  });
}

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./schema.js').Granularity} granularity
 */
function draw(report, granularity) {
  const { start, end } = report.interval;
  const daysFound = Math.round((Date.parse(end) - Date.parse(start)) / DAY_MS);
  if (days === Infinity && granularityOf(daysFound, view.granularity) !== granularity) {
    days = daysFound;
    watchReport();
    return;
  }
  body.hidden = false;
  tellNoProblem();
  freshness.shows(report.freshness.lookedAt);
  const isSame = drawn !== null && JSON.stringify({ ...drawn, freshness: null }) === JSON.stringify({ ...report, freshness: null });
  drawn = report;
  keepPlace(() => {
    if (!isSame) drawAll(report, granularity);
    // Other pages of the list may have changed.
    list.show(report, view);
  });
  isBusy(false);
}

/** @param {boolean} isIt whether the report waits for an answer */
function isBusy(isIt) {
  mark(body, 'aria-busy', String(isIt));
  find('busy', HTMLElement).hidden = !isIt;
}

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./schema.js').Granularity} granularity
 */
function drawAll(report, granularity) {
  const isEmpty = report.totals.views === 0;
  body.dataset.empty = String(isEmpty);
  controls.showInterval(view, report.interval, granularity);
  showSummary(report, view);
  chart.show(isEmpty ? [] : report.series, granularity, view);
  if (isEmpty) nothing.show(view, report.interval);
  else nothing.hide();
}

/** @param {Problem} problem */
function tellProblem({ message, code, retryable }) {
  const needsToken = NEEDS_TOKEN.includes(code);
  if (needsToken) tokenCard.show(code);
  problemBox.hidden = needsToken;
  if (needsToken || !drawn) body.hidden = true;
  say(find('problem-text', HTMLElement), `The report can’t be shown: ${message}${retryable ? '. It is asked for again by itself.' : ''}`);
  isBusy(false);
}

function tellNoProblem() {
  problemBox.hidden = true;
  tokenCard.hide();
}

/** Everything from the beginning, on a new socket. */
function restart() {
  endReport();
  endFreshness();
  feed.reconnect();
  readSiteSettings();
  watchFreshness();
  drawn = null;
  show(view);
}

function watchFreshness() {
  endFreshness = feed.watch(FRESHNESS, {}, {
    data: (/** @type {import('./schema.js').FreshnessData} */ { freshness: news }) => freshness.is(news),
    problem: tellProblem,
  });
}

tryNow.addEventListener('click', restart);
followLinks(document.body, go);
addEventListener('popstate', () => show(readView(location.search)));
readSiteSettings();
watchFreshness();
show(view);
