// What stands under the chart: dates at round places, and weekdays where there is room for them.

import { date } from './format.js';
import { momentOf } from './time.js';

/** @typedef {import('./schema.js').Granularity} Granularity */
/** @typedef {import('./schema.js').ReportData['report']['series'][number]} Point */

const LABEL_PX = 64;
/** Room for a weekday's first letter, and for its short name. */
const LETTER_PX = 13;
const WEEKDAY_PX = 42;
/** Up to so many days, weekdays are told. */
const WEEKDAYS_MAX = 36;
const STEPS = { HOUR: [1, 2, 3, 6, 12, 24, 48, 72, 168], DAY: [1, 2, 7, 14], WEEK: [1, 2], MONTH: [1, 3, 6, 12, 24, 60, 120] };

/**
 * The labels of the buckets, one for each; empty where there is none. The second line is below the first.
 * @param {Point[]} points
 * @param {Granularity} granularity
 * @param {number} width in pixels, of all buckets
 * @returns {string[]}
 */
export function labels(points, granularity, width) {
  const dated = new Set(labelled(points, granularity, width));
  const room = width / points.length;
  const tellsWeekdays = granularity === 'DAY' && points.length <= WEEKDAYS_MAX;
  return points.map((point, index) => {
    const isDated = dated.has(index);
    if (!tellsWeekdays) return isDated ? label(point, granularity) : '';
    if (!isDated && room < LETTER_PX) return '';
    const weekday = write(point, { weekday: room >= WEEKDAY_PX || room < LETTER_PX ? 'short' : 'narrow' });
    return isDated ? `${weekday}\n${label(point, granularity)}` : weekday;
  });
}

/**
 * The buckets that have a date: as many as there is room for, at round times.
 * @param {Point[]} points
 * @param {Granularity} granularity
 * @param {number} width
 */
function labelled(points, granularity, width) {
  const { length } = points;
  const least = Math.max(1, Math.ceil((length * LABEL_PX) / width));
  if (granularity === 'DAY' && least > 14) return monthStarts(points, least);
  const step = STEPS[granularity].find((each) => each >= least) ?? least;
  const first = points.findIndex((point) => {
    const { hour, month } = clockAndCalendar(point);
    if (granularity === 'HOUR') return hour % step === 0;
    return granularity !== 'MONTH' || (month - 1) % step === 0;
  });
  const from = Math.max(0, first);
  return Array.from({ length: Math.ceil((length - from) / step) }, (_, index) => from + index * step);
}

/**
 * The first days of months: of each, or of every second, third, sixth or twelfth.
 * @param {Point[]} points
 * @param {number} least how many days there are between two at least
 */
function monthStarts(points, least) {
  const step = [1, 2, 3, 6].find((months) => months * 28 >= least) ?? 12;
  return points.flatMap(({ localStart }, index) => (localStart.slice(8, 10) === '01' && (Number(localStart.slice(5, 7)) - 1) % step === 0 ? [index] : []));
}

/**
 * @param {Point} point
 * @param {Granularity} granularity
 */
function label(point, granularity) {
  const { hour, month } = clockAndCalendar(point);
  if (granularity === 'HOUR') {
    return hour === 0 ? `${write(point, { weekday: 'short' })}\n${write(point, { day: 'numeric', month: 'short' })}` : write(point, { hour: 'numeric', minute: '2-digit' });
  }
  if (granularity === 'MONTH') return write(point, month === 1 ? { year: 'numeric' } : { month: 'short' });
  return write(point, { day: 'numeric', month: 'short' });
}

/**
 * @param {Point} point
 * @param {Intl.DateTimeFormatOptions} form
 */
const write = ({ localStart }, form) => date(momentOf(localStart), 'UTC', form);

/**
 * The hour of day and the month that the calendar of the zone calls a bucket by.
 * @param {Point} point
 */
function clockAndCalendar({ localStart }) {
  return { hour: Number(localStart.slice(11, 13)), month: Number(localStart.slice(5, 7)) };
}
