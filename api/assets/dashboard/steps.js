// The ranges before and after the one that is shown, as long as it: months step by months, everything else by days.

import { PERIODS } from './periods.js';
import { addDays, lastOfMonth } from './time.js';

/** @typedef {{ from: string, to: string }} Days both included */
/** @typedef {import('./state.js').View['interval']} Interval */

/**
 * @param {Days} days
 * @param {-1 | 1} direction
 * @returns {Days}
 */
export function stepped({ from, to }, direction) {
  if (from.endsWith('-01') && to === lastOfMonth(to)) {
    const months = direction * (monthOf(to) - monthOf(from) + 1);
    return { from: addMonths(from, months), to: lastOfMonth(addMonths(`${to.slice(0, 7)}-01`, months)) };
  }
  const count = direction * ((Date.parse(to) - Date.parse(from)) / 86_400_000 + 1);
  return { from: addDays(from, count), to: addDays(to, count) };
}

/**
 * The interval of these days: a period if one of them has just these, so that it goes on with time.
 * @param {Days} days
 * @param {string} today
 * @returns {Interval}
 */
export function intervalOf(days, today) {
  const period = PERIODS.find(({ period }) => {
    const of = daysOfPeriod(period, today);
    return of?.from === days.from && of.to === days.to;
  });
  return period ? { period: period.period } : days;
}

/**
 * @param {import('./schema.js').Period} period
 * @param {string} today
 * @returns {Days | null} null of what has no whole days, or no certain ones
 */
export function daysOfPeriod(period, today) {
  const month = `${today.slice(0, 7)}-01`;
  switch (period) {
    case 'TODAY':
      return { from: today, to: today };
    case 'YESTERDAY':
      return { from: addDays(today, -1), to: addDays(today, -1) };
    case 'LAST_7_DAYS':
      return { from: addDays(today, -6), to: today };
    case 'LAST_30_DAYS':
      return { from: addDays(today, -29), to: today };
    case 'THIS_MONTH':
      return { from: month, to: lastOfMonth(month) };
    case 'LAST_MONTH':
      return { from: addMonths(month, -1), to: addDays(month, -1) };
    case 'LAST_12_MONTHS':
      return { from: addMonths(month, -11), to: lastOfMonth(month) };
    case 'THIS_YEAR':
      return { from: `${today.slice(0, 4)}-01-01`, to: `${today.slice(0, 4)}-12-31` };
    default:
      return null;
  }
}

/**
 * @param {string} first of a month
 * @param {number} months
 */
export function addMonths(first, months) {
  const month = monthOf(first) + months;
  return new Date(Date.UTC(Math.floor(month / 12), month % 12, 1)).toISOString().slice(0, 10);
}

/** @param {string} day */
const monthOf = (day) => Number(day.slice(0, 4)) * 12 + Number(day.slice(5, 7)) - 1;
