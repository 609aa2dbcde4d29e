// Puts the parts together: the address says what is shown, the feed brings it, the parts draw it.

import { Chart } from './chart.js';
import { Controls } from './controls.js';
import { find, followLinks, keepPlace, mark, say } from './dom.js';
import { Nothing } from './elsewhere.js';
import { Feed, NEEDS_TOKEN } from './feed.js';
import { FreshnessLine } from './freshness.js';
import { Keys } from './keys.js';
import { listVariables } from './list-part.js';
import { OwnPage, ownPageVariables } from './own-page.js';
import { PageList } from './pages.js';
import { granularityOf, periodNamed } from './periods.js';
import { FRESHNESS, REPORT } from './query.js';
import { Search } from './search.js';
import { readSiteSettings } from './site.js';
import { LIST_FIRST, addressOf, filterOf, readView, zoneOf } from './state.js';
import { showSummary } from './summary.js';
import { TakeAlong } from './take-along.js';
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
/** The variables of the report's subscription, as a text. */
let watched = '';
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
const ownPage = new OwnPage();
const takeAlong = new TakeAlong(feed);
const chart = new Chart((days) => controls.chooseDays(days));
new Keys(controls.keys());
const tokenCard = new TokenCard(restart);
const nothing = new Nothing(feed);

/**
 * @param {string} address
 * @param {boolean} isTyped while one types on, no letter is a step of the way back
 */
function go(address, isTyped = false) {
  if (address === addressOf(view)) return;
  const path = address === '?' ? location.pathname : address;
  if (isTyped) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  const { filter } = view;
  show(readView(location.search));
  if (view.filter?.kind === 'page' && view.filter.text !== filter?.text) beginPage();
}

/** A page of its own is read from its beginning, and not from where the link to it was. */
function beginPage() {
  scrollTo(0, 0);
  if (document.activeElement === document.body || body.contains(document.activeElement)) body.focus({ preventScroll: true });
}

/** @param {View} next */
function show(next) {
  const asks = (/** @type {View} */ of) => addressOf({ ...of, list: LIST_FIRST, height: null });
  const isSame = asks(next) === asks(view);
  view = next;
  freshness.zone = zoneOf(view);
  keepPlace(() => controls.show(view));
  search.show(view);
  keepPlace(() => list.choose(view));
  if (isSame && drawn) {
    const report = drawn;
    const granularity = granularityOf(days, view.granularity);
    // Only what is made of it is another, and links lead to that, too.
    keepPlace(() => drawAll(report, granularity));
    if (JSON.stringify(variablesOf(granularity)) === watched) keepPlace(() => list.show(report));
    else watchReport();
    return;
  }
  days = daysOf(view);
  drawn = null;
  nothing.hide();
  // What is shown is of the view before, until the first answer to this one comes.
  isBusy(true);
  watchReport();
}

/** @param {View} of */
function daysOf({ interval }) {
  if ('period' in interval) return periodNamed(interval.period)?.days ?? NaN;
  return (Date.parse(interval.to) - Date.parse(interval.from)) / DAY_MS + 1;
}

/**
 * @param {import('./schema.js').Granularity} granularity
 * @returns {import('./schema.js').ReportVariables}
 */
const variablesOf = (granularity) => ({ filter: filterOf(view), granularity, ...listVariables(view), ...ownPageVariables(view), compares: view.compare !== 'NONE' });

function watchReport() {
  const granularity = granularityOf(days, view.granularity);
  const variables = variablesOf(granularity);
  watched = JSON.stringify(variables);
  find('graphiql', HTMLAnchorElement).href = `/graphiql?${new URLSearchParams({
    query: REPORT,
    variables: JSON.stringify(variables, null, 2),
  })}`;
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
  const isSame = drawn !== null && contentOf(drawn) === contentOf(report);
  drawn = report;
  keepPlace(() => {
    if (!isSame) drawAll(report, granularity);
    list.show(report);
  });
  isBusy(false);
}

/** @param {boolean} isIt whether the report waits for an answer */
function isBusy(isIt) {
  mark(body, 'aria-busy', String(isIt));
  find('busy', HTMLElement).hidden = !isIt;
}

/**
 * All that `drawAll` shows.
 * @param {import('./schema.js').ReportData['report']} report
 */
const contentOf = ({ freshness: _freshness, pages: _pages, sections: _sections, ...content }) => JSON.stringify(content);

/**
 * All but the list, which draws what has changed.
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./schema.js').Granularity} granularity
 */
function drawAll(report, granularity) {
  const isEmpty = report.totals.views === 0;
  body.dataset.empty = String(isEmpty);
  controls.showInterval(view, report, granularity);
  showSummary(report, view);
  chart.show(report, granularity, view);
  ownPage.show(report, view, granularity);
  takeAlong.show(report, view, granularity);
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
