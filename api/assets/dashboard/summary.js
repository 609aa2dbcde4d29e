// The big number, and how it changed.

import { whenBefore } from './compare.js';
import { find, say } from './dom.js';
import { date, number, share } from './format.js';
import { titleOfDocument } from './site.js';
import { zoneOf } from './state.js';

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./state.js').View} view
 */
export function showSummary(report, view) {
  const { totals, interval } = report;
  say(find('views', HTMLElement), number(totals.views));
  say(find('views-unit', HTMLElement), totals.views === 1 ? 'view' : 'views');
  const { words, direction, against } = changeOf(report, view);
  const change = find('change', HTMLElement);
  say(change, words);
  change.dataset.direction = direction;
  change.hidden = words === '';
  say(find('against', HTMLElement), against);
  const note = find('inexact', HTMLElement);
  note.hidden = interval.exact;
  titleOfDocument(`${number(totals.views)} ${totals.views === 1 ? 'view' : 'views'}`);
}

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./state.js').View} view
 */
function changeOf({ totals, series, countedSince }, view) {
  const { comparableViews, previous, previousInterval, change } = totals;
  if (view.compare === 'NONE') return { words: '', direction: 'none', against: '' };
  if (comparableViews === null || previous === null || previousInterval === null) {
    return { words: '', direction: 'none', against: sinceWhen(countedSince, view) };
  }
  const isOver = series.at(-1)?.complete ?? true;
  if (!isOver && previousInterval.start === previousInterval.end) {
    return { words: '', direction: 'none', against: 'Compared as soon as an hour is over' };
  }
  const before = whenBefore(view);
  // Of what is not over yet, whole hours are compared with as many of the other.
  const against = isOver
    ? `against ${number(previous)} ${before}`
    : `${number(comparableViews)} against ${number(previous)} ${before}, both up to the last whole hour`;
  if (change === null) return { words: comparableViews > 0 ? 'New' : '', direction: comparableViews > 0 ? 'up' : 'none', against };
  if (change === 0) return { words: 'Unchanged', direction: 'none', against };
  return change > 0
    ? { words: `▲ ${share(change)}`, direction: 'up', against }
    : { words: `▼ ${share(-change)}`, direction: 'down', against };
}

/**
 * Why there is no comparison: what came before was not counted as a whole.
 * @param {string | null} countedSince
 * @param {import('./state.js').View} view
 */
function sinceWhen(countedSince, view) {
  if (countedSince === null) return '';
  const day = date(Date.parse(countedSince), zoneOf(view), { day: 'numeric', month: 'short', year: 'numeric' });
  const isAllTime = 'period' in view.interval && view.interval.period === 'ALL_TIME';
  return isAllTime ? `Counted since ${day}` : `Counted since ${day}: nothing before it to compare with`;
}
