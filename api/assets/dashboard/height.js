// How high the chart has to be. A few buckets that tower above all others would press those flat, so the chart is cut above
// the others, and what is cut is drawn broken, with its number.

/** Some tower if the highest is so many times as high as the highest of the others. */
const TOWERS_TIMES = 8;
/** Room above the highest that is not cut, so that what is broken is seen to go on. */
const ROOM_TIMES = 1.3;
/** At most one in so many is cut; in a short series two, but less than a third. */
const ONE_IN = 8;
const SHORT_MAX = 2;

/** The least height: whole numbers only, and some room even where there is nothing. */
const HEIGHT_MIN = 4;

/**
 * The height at which the chart is cut; null where nothing towers above the rest.
 * @param {number[]} values
 */
export function cutAt(values) {
  const sorted = values.filter((value) => value > 0).sort((a, b) => b - a);
  const most = Math.min(Math.max(SHORT_MAX, Math.floor(values.length / ONE_IN)), Math.ceil(values.length / 3) - 1);
  const at = (/** @type {number} */ rank) => sorted[rank] ?? 0;
  const towers = (/** @type {number} */ count) => at(0) >= TOWERS_TIMES * at(count);
  // A few small numbers beside as many big ones are no level that the big ones rise above.
  const counts = Array.from({ length: Math.max(0, most) }, (_, index) => index + 1).filter((count) => sorted.length - count >= Math.max(3, 2 * count));
  const last = counts.at(-1);
  if (last === undefined || !towers(last)) return null;
  // Where the gap is widest, so that what is alike is treated alike.
  const gap = (/** @type {number} */ count) => at(count - 1) / at(count);
  const widest = counts.reduce((best, count) => (gap(count) > gap(best) ? count : best));
  return Math.max(HEIGHT_MIN, at(towers(widest) ? widest : last) * ROOM_TIMES);
}

/**
 * The height of a chart that shows all of these.
 * @param {number[]} values
 */
export function wholeHeight(values) {
  return Math.max(HEIGHT_MIN, values.reduce((most, value) => Math.max(most, value), 0) * 1.06);
}
