// How numbers and times are written. The page speaks English, so its dates do too.

import { dayOf } from './time.js';

const LOCALE = 'en-GB';
const whole = new Intl.NumberFormat(LOCALE);
const compact = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(LOCALE, { style: 'percent', maximumFractionDigits: 1 });

/** @param {number} value */
export const number = (value) => whole.format(value);
/** @param {number} value */
export const shortNumber = (value) => compact.format(value);
/** @param {number} value */
export const share = (value) => (value > 0 && value < 0.001 ? '< 0.1%' : percent.format(value));

/**
 * @param {number} count
 * @param {string} one
 */
export const counted = (count, one) => `${number(count)} ${count === 1 ? one : `${one}s`}`;

/**
 * @param {number} at
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
export function date(at, zone, options) {
  return new Intl.DateTimeFormat(LOCALE, { timeZone: zone, hourCycle: 'h23', ...options }).format(at);
}

/**
 * A time of day; with its date, unless that is today.
 * @param {number} at
 * @param {string} zone
 * @param {number} now
 */
export function clock(at, zone, now) {
  const time = date(at, zone, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  if (dayOf(at, zone) === dayOf(now, zone)) return time;
  return `${date(at, zone, { day: 'numeric', month: 'short', year: 'numeric' })}, ${time}`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

/**
 * A span of time, as short as it can be said: whole days as days, everything else with its hours.
 * @param {number} start
 * @param {number} end the moment after the last one
 * @param {string} zone
 */
export function span(start, end, zone) {
  const isWholeDays = [start, end].every((at) => dayOf(at - 1, zone) !== dayOf(at, zone));
  /** @type {Intl.DateTimeFormatOptions} */
  const options = { timeZone: zone, day: 'numeric', month: 'short', year: 'numeric' };
  if (!isWholeDays) Object.assign(options, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return new Intl.DateTimeFormat(LOCALE, options).formatRange(start, isWholeDays ? end - 1 : end);
}

/**
 * What a bucket of a series is called in full.
 * @param {number} at its start
 * @param {import('./schema.js').Granularity} granularity
 * @param {string} zone
 */
export function bucket(at, granularity, zone) {
  /** @type {Record<import('./schema.js').Granularity, Intl.DateTimeFormatOptions>} */
  const forms = {
    HOUR: { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
    DAY: { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' },
    WEEK: { day: 'numeric', month: 'short', year: 'numeric' },
    MONTH: { month: 'long', year: 'numeric' },
  };
  const text = date(at, zone, forms[granularity]);
  return granularity === 'WEEK' ? `Week of ${text}` : text;
}
