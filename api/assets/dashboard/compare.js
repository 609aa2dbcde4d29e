// What the report is compared with, and how that is called.

import { periodNamed } from './periods.js';

/** @typedef {import('./state.js').View} View */

/** @type {{ compare: View['compare'], label: string }[]} */
export const COMPARISONS = [
  { compare: 'PREVIOUS_PERIOD', label: 'Period before' },
  { compare: 'SAME_PERIOD_LAST_YEAR', label: 'Same dates last year' },
  { compare: 'SAME_WEEKDAYS_LAST_YEAR', label: 'Same weekdays last year' },
  { compare: 'NONE', label: 'Nothing' },
];

/**
 * How a sentence goes on that says how many views there were: "7 views …".
 * @param {View} view
 */
export function whenBefore({ compare, interval }) {
  if (compare === 'SAME_PERIOD_LAST_YEAR') return 'on the same dates last year';
  if (compare === 'SAME_WEEKDAYS_LAST_YEAR') return 'on the same weekdays last year';
  return ('period' in interval && periodNamed(interval.period)?.before) || 'in as much time before';
}

/** @param {View} view */
export const labelOf = ({ compare }) => COMPARISONS.find((one) => one.compare === compare)?.label ?? '';
