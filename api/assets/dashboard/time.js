// Days and moments in a time zone. A day is written 2026-11-23. A local time is what the server says that the calendar of
// the zone calls a moment: 2026-11-23T00:00:00. It is shown as it is, as if it were a time of UTC.

const HOUR_MS = 3_600_000;

/** What a browser calls the zone of a machine that does not tell its own; no server knows it. */
const UNKNOWN_ZONE = 'Etc/Unknown';

/** The visitor's own time zone, UTC where the browser does not know it. */
export const ownZone = knownZone(new Intl.DateTimeFormat().resolvedOptions().timeZone);

/** @param {string | undefined} zone */
function knownZone(zone) {
  return zone && isZone(zone) ? zone : 'UTC';
}

/** @param {string} zone */
export function isZone(zone) {
  if (zone === UNKNOWN_ZONE) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/**
 * The numbers on a clock and a calendar there.
 * @param {number} at milliseconds since 1970
 * @param {string} zone
 */
export function local(at, zone) {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  /** @type {Record<string, number>} */
  const parts = {};
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return { year, month, day, hour, minute, second };
}

/**
 * The day that a moment is in there.
 * @param {number} at
 * @param {string} zone
 */
export function dayOf(at, zone) {
  const { year, month, day } = local(at, zone);
  return `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
}

/**
 * A local time as a moment of UTC, to be formatted as such.
 * @param {string} localTime
 */
export const momentOf = (localTime) => Date.parse(`${localTime}Z`);

/**
 * The day of a local time.
 * @param {string} localTime
 */
export const dayPart = (localTime) => localTime.slice(0, 10);

/**
 * The last day of the month that a day is in.
 * @param {string} day
 */
export function lastOfMonth(day) {
  const at = new Date(Date.parse(day));
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0)).toISOString().slice(0, 10);
}

/**
 * @param {string} day
 * @param {number} days
 */
export function addDays(day, days) {
  return new Date(Date.parse(day) + days * 24 * HOUR_MS).toISOString().slice(0, 10);
}

/** @param {string} text */
export function isDay(text) {
  const at = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) ? Date.parse(text) : NaN;
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text);
}

/**
 * When a day begins there: not always at midnight, where clocks are set forward at midnight.
 * @param {string} day
 * @param {string} zone
 */
export function startOf(day, zone) {
  const utc = Date.parse(day);
  let at = utc;
  for (let round = 0; round < 2; round += 1) {
    const { year, month, day: date, hour, minute, second } = local(at, zone);
    const ahead = Date.UTC(year, month - 1, date, hour, minute, second) - at;
    at = utc - ahead;
  }
  return dayOf(at, zone) < day ? at + HOUR_MS : at;
}
