// The periods, by name, and how finely an interval can be drawn.

/** @typedef {import('./schema.js').Granularity} Granularity */
/** @typedef {import('./schema.js').Period} Period */

/** @type {Period} */
export const PERIOD_FIRST = 'LAST_7_DAYS';

/**
 * From short to long; `key` chooses each, `before` is what it is compared with, `days` how many it has at most.
 * @type {{ period: Period, key: string, label: string, before: string, days: number }[]}
 */
export const PERIODS = [
  { period: 'TODAY', key: 'd', label: 'Today', before: 'yesterday', days: 1 },
  { period: 'YESTERDAY', key: 'e', label: 'Yesterday', before: 'the day before that', days: 1 },
  { period: 'LAST_24_HOURS', key: 'h', label: '24 hours', before: 'in the 24 hours before', days: 1 },
  { period: 'LAST_7_DAYS', key: 'w', label: '7 days', before: 'in the 7 days before', days: 7 },
  { period: 'LAST_30_DAYS', key: 't', label: '30 days', before: 'in the 30 days before', days: 30 },
  { period: 'THIS_MONTH', key: 'm', label: 'This month', before: 'last month', days: 31 },
  { period: 'LAST_MONTH', key: 'p', label: 'Last month', before: 'the month before that', days: 31 },
  { period: 'LAST_12_MONTHS', key: 'l', label: '12 months', before: 'in the 12 months before', days: 366 },
  { period: 'THIS_YEAR', key: 'y', label: 'This year', before: 'last year', days: 366 },
  { period: 'ALL_TIME', key: 'a', label: 'All time', before: '', days: Infinity },
];

/** @param {string} text */
export const periodNamed = (text) => PERIODS.find(({ period }) => period === text);

/** The most days that are drawn by each, so that a bar is wide enough to be seen and pointed at. */
const DAYS_MAX = { HOUR: 31, DAY: 550, WEEK: 3_650, MONTH: Infinity };
/** The most days that suit each. */
const DAYS_SUITED = { HOUR: 2, DAY: 92, WEEK: 400, MONTH: Infinity };
/** @type {Granularity[]} */
export const GRANULARITIES = ['HOUR', 'DAY', 'WEEK', 'MONTH'];

/** @param {number} days */
export const granularitiesOf = (days) => GRANULARITIES.filter((name) => days <= DAYS_MAX[name]);

/**
 * The granularity that is wished for, if so many days can be drawn by it; else what suits them.
 * @param {number} days
 * @param {Granularity | null} wished
 * @returns {Granularity}
 */
export function granularityOf(days, wished) {
  if (wished && days <= DAYS_MAX[wished]) return wished;
  return GRANULARITIES.find((name) => days <= DAYS_SUITED[name]) ?? 'MONTH';
}
