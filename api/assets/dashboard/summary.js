// The big number, and how it changed.

import { find, say } from './dom.js';
import { number, share } from './format.js';
import { periodNamed } from './periods.js';

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
  document.title = `${number(totals.views)} ${totals.views === 1 ? 'view' : 'views'} · Analytics`;
}

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./state.js').View} view
 */
function changeOf({ totals, interval, freshness }, view) {
  const { views, previous, change } = totals;
  if (previous === null) return { words: '', direction: 'none', against: '' };
  const before = 'period' in view.interval ? periodNamed(view.interval.period)?.before : 'in as much time before';
  // What is not over yet is compared with as much of the other.
  const isPart = freshness.lookedAt !== null && Date.parse(interval.end) > Date.parse(freshness.lookedAt);
  const against = `against ${number(previous)} ${before}${isPart ? ', up to the same time' : ''}`;
  if (change === null) return { words: views > 0 ? 'New' : '', direction: views > 0 ? 'up' : 'none', against };
  if (change === 0) return { words: 'Unchanged', direction: 'none', against };
  return change > 0
    ? { words: `▲ ${share(change)}`, direction: 'up', against }
    : { words: `▼ ${share(-change)}`, direction: 'down', against };
}
