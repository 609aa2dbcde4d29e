// Puts the parts together: the address says what is shown, the feed brings it, the parts draw it.

import { Chart } from './chart.js';
import { Controls } from './controls.js';
import { find, followLinks, say } from './dom.js';
import { Nothing } from './elsewhere.js';
import { Feed, keepToken, readToken } from './feed.js';
import { FreshnessLine } from './freshness.js';
import { showPages } from './pages.js';
import { granularityOf, periodNamed } from './periods.js';
import { FRESHNESS, REPORT } from './query.js';
import { readSiteSettings } from './site.js';
import { addressOf, filterOf, readView, zoneOf } from './state.js';
import { showSummary } from './summary.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./feed.js').Problem} Problem */

const DAY_MS = 86_400_000;
const NEEDS_TOKEN = ['UNAUTHENTICATED', 'FORBIDDEN'];

const body = find('report', HTMLElement);
const problemBox = find('problem', HTMLElement);
const tokenForm = find('token-form', HTMLFormElement);
const tokenInput = find('token', HTMLInputElement);
const forget = find('forget-token', HTMLButtonElement);
const tryNow = find('try-now', HTMLButtonElement);

let view = readView(location.search);
/** How many days the view has; known beforehand, except of all time. */
let days = NaN;
/** Whether what is drawn is of this view, and not of the one before. */
let isDrawn = false;
let endReport = () => {};
let endFreshness = () => {};

const freshness = new FreshnessLine();
const feed = new Feed((connection) => {
  freshness.connectionIs(connection);
  tryNow.hidden = connection.kind !== 'waiting' && connection.kind !== 'refused';
});
const controls = new Controls(view, go);
const chart = new Chart();
const nothing = new Nothing(feed);

/** @param {string} search */
function go(search) {
  if (search === addressOf(view)) return;
  history.pushState(null, '', search === '?' ? location.pathname : search);
  show(readView(location.search));
}

/** @param {View} next */
function show(next) {
  view = next;
  freshness.zone = zoneOf(view);
  days = daysOf(view);
  isDrawn = false;
  controls.show(view);
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
  const variables = { filter: filterOf(view), granularity, first: view.first };
  find('graphiql', HTMLAnchorElement).href = `/graphiql?${new URLSearchParams({
    query: REPORT,
    variables: JSON.stringify(variables, null, 2),
    operationName: 'Report',
  })}`;
  // What is shown is of the view before, until the first answer to this one comes.
  body.setAttribute('aria-busy', 'true');
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
  tellNoProblem();
  isDrawn = true;
  const isEmpty = report.totals.views === 0;
  body.dataset.empty = String(isEmpty);
  body.hidden = false;
  controls.showInterval(view, report.interval, granularity);
  showSummary(report, view);
  chart.show(isEmpty ? [] : report.series, granularity);
  showPages(report, view);
  freshness.shows(report.freshness.lookedAt);
  if (isEmpty) nothing.show(view, report.interval);
  else nothing.hide();
  body.setAttribute('aria-busy', 'false');
}

/** @param {Problem} problem */
function tellProblem({ message, code, retryable }) {
  const needsToken = NEEDS_TOKEN.includes(code);
  tokenForm.hidden = !needsToken;
  problemBox.hidden = false;
  if (!isDrawn) body.hidden = true;
  const sentence = needsToken ? 'Reports need a token here' : 'The report can’t be shown';
  say(find('problem-text', HTMLElement), `${sentence}: ${message}${retryable ? '. It is asked for again by itself.' : ''}`);
  body.setAttribute('aria-busy', 'false');
}

function tellNoProblem() {
  problemBox.hidden = true;
  tokenForm.hidden = true;
  forget.hidden = readToken() === null;
}

/** Everything from the beginning, on a new socket. */
function restart() {
  endReport();
  endFreshness();
  feed.reconnect();
  readSiteSettings();
  watchFreshness();
  show(view);
}

function watchFreshness() {
  endFreshness = feed.watch(FRESHNESS, {}, {
    data: (/** @type {import('./schema.js').FreshnessData} */ { freshness: news }) => freshness.is(news),
    problem: tellProblem,
  });
}

tokenForm.addEventListener('submit', (event) => {
  event.preventDefault();
  keepToken(tokenInput.value.trim());
  tokenInput.value = '';
  restart();
});
forget.addEventListener('click', () => {
  keepToken('');
  forget.hidden = true;
  restart();
});
tryNow.addEventListener('click', restart);
followLinks(document.body, go);
addEventListener('popstate', () => show(readView(location.search)));
readSiteSettings();
watchFreshness();
show(view);
