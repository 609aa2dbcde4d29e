// How numbers and times are written: as the browser's languages have it, but always by the calendar that the buckets are cut by.

import { addDays, dayOf, dayPart, momentOf } from './time.js';

/** @typedef {import('./schema.js').ReportData['report']['interval']} Interval */

export const LOCALE = new Intl.Locale(new Intl.NumberFormat([...navigator.languages]).resolvedOptions().locale, { calendar: 'gregory' });
const whole = new Intl.NumberFormat(LOCALE);
const compact = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(LOCALE, { style: 'percent', maximumFractionDigits: 1 });

/** @param {number} value */
export const number = (value) => whole.format(value);
/** @param {number} value */
export const shortNumber = (value) => compact.format(value);
/** @param {number} value */
export const share = (value) => (value > 0 && value < 0.001 ? `< ${percent.format(0.001)}` : percent.format(value));

const aligned = new Intl.NumberFormat(LOCALE, { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 });
/**
 * A share with one digit behind the point in any case, to stand below others.
 * @param {number} value
 */
export const alignedShare = (value) => (value > 0 && value < 0.001 ? `< ${aligned.format(0.001)}` : aligned.format(value));

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
  return new Intl.DateTimeFormat(LOCALE, { timeZone: zone, ...options }).format(at);
}

/**
 * @param {string} day
 * @param {Intl.DateTimeFormatOptions} options
 */
const dateOfDay = (day, options) => date(Date.parse(day), 'UTC', options);
/** @param {string} day */
export const dayName = (day) => dateOfDay(day, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
/** @param {string} day */
export const monthName = (day) => dateOfDay(day, { month: 'long', year: 'numeric' });
/**
 * @param {string} day
 * @param {'long' | 'short'} length
 */
export const weekdayName = (day, length) => dateOfDay(day, { weekday: length });

/**
 * A time of day; with its date, unless that is today.
 * @param {number} at
 * @param {string} zone
 * @param {number} now
 */
export function clock(at, zone, now) {
  const time = date(at, zone, { hour: 'numeric', minute: '2-digit', second: '2-digit' });
  if (dayOf(at, zone) === dayOf(now, zone)) return time;
  return `${date(at, zone, { day: 'numeric', month: 'short', year: 'numeric' })}, ${time}`;
}

/**
 * How long ago something was, rounded down so that it does not change every second.
 * @param {number} milliseconds
 */
export function ago(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds - (seconds % 5)} s ago`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}

/**
 * Whether a bound of an interval is where a day begins there: not always at midnight, where clocks are set forward then.
 * @param {string} at
 * @param {string} localTime
 * @param {string} zone
 */
function isStartOfDay(at, localTime, zone) {
  return localTime.endsWith('T00:00:00') || dayOf(Date.parse(at) - 1, zone) !== dayOf(Date.parse(at), zone);
}

/**
 * The first and the last day of an interval.
 * @param {Interval} interval
 * @param {string} zone
 * @returns {{ from: string, to: string, isWhole: boolean }}
 */
export function daysIn({ start, end, localStart, localEnd }, zone) {
  const endsWithDay = isStartOfDay(end, localEnd, zone);
  const to = endsWithDay ? addDays(dayPart(localEnd), -1) : dayPart(localEnd);
  return { from: dayPart(localStart), to, isWhole: endsWithDay && isStartOfDay(start, localStart, zone) };
}

/**
 * Days, both included.
 * @param {string} from
 * @param {string} to
 */
export function dayRange(from, to) {
  const format = new Intl.DateTimeFormat(LOCALE, { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric' });
  return format.formatRange(Date.parse(from), Date.parse(to));
}

/**
 * An interval, as short as it can be said: whole days as days, everything else with its hours.
 * @param {Interval} interval
 * @param {string} zone
 */
export function span(interval, zone) {
  const { from, to, isWhole } = daysIn(interval, zone);
  if (isWhole) return dayRange(from, to);
  /** @type {Intl.DateTimeFormatOptions} */
  const hours = { day: 'numeric', month: 'short', year: 'numeric', hour: 'numeric', minute: '2-digit' };
  const format = new Intl.DateTimeFormat(LOCALE, { timeZone: 'UTC', ...hours });
  return format.formatRange(momentOf(interval.localStart), momentOf(interval.localEnd));
}

/**
 * What a bucket of a series is called in full.
 * @param {string} localStart
 * @param {import('./schema.js').Granularity} granularity
 */
export function bucket(localStart, granularity) {
  /** @type {Record<import('./schema.js').Granularity, Intl.DateTimeFormatOptions>} */
  const forms = {
    HOUR: { weekday: 'short', day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' },
    DAY: { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' },
    WEEK: { day: 'numeric', month: 'short', year: 'numeric' },
    MONTH: { month: 'long', year: 'numeric' },
  };
  const text = date(momentOf(localStart), 'UTC', forms[granularity]);
  return granularity === 'WEEK' ? `Week of ${text}` : text;
}
