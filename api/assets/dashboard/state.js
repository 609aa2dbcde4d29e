// The view: what is shown. It lives in the address, and nowhere else.

import { GRANULARITIES, PERIOD_FIRST, periodNamed } from './periods.js';
import { addDays, isDay, isZone, ownZone, startOf } from './time.js';
import { weekStart } from './week.js';

/**
 * @typedef {{ period: import('./schema.js').Period } | { from: string, to: string }} Interval a period, or days in the view's zone, both included
 * @typedef {'page' | 'prefix' | 'contains' | 'search'} FilterKind a page by its name; a name's beginning; a part of names, in the same case; a part of names or titles, in any case
 * @typedef {{ kind: FilterKind, text: string }} Filter
 * @typedef {object} View
 * @property {Interval} interval
 * @property {Filter | null} filter
 * @property {string | null} zone null is the visitor's own
 * @property {import('./schema.js').Granularity | null} granularity null is what suits the interval
 * @property {List} list
 * @property {import('./schema.js').Comparison | 'NONE'} compare what it is compared with
 * @property {'whole' | null} height of the chart; null is cut where a few buckets tower above all others
 *
 * What is listed below the chart.
 * @typedef {object} List
 * @property {'pages' | 'sections'} tab
 * @property {import('./schema.js').PageOrder} order of pages
 * @property {string} folder what the names of all sections begin with; '' is all of them
 * @property {string} find what the names or titles of pages have in them; '' is all
 * @property {number} row the first one that is shown, counted from 1
 */

/** How many rows of the list are shown at once. */
export const ROWS = 25;
/** @type {List} */
export const LIST_FIRST = { tab: 'pages', order: 'VIEWS', folder: '', find: '', row: 1 };
/** @type {import('./schema.js').PageOrder[]} */
export const ORDERS = ['VIEWS', 'CHANGE', 'NAME'];
/** What is compared with unless something else is chosen. */
export const COMPARES_FIRST = 'PREVIOUS_PERIOD';
/** @type {View['compare'][]} */
export const COMPARES = [COMPARES_FIRST, 'SAME_PERIOD_LAST_YEAR', 'SAME_WEEKDAYS_LAST_YEAR', 'NONE'];
/** @type {FilterKind[]} */
const FILTERS = ['page', 'prefix', 'contains', 'search'];

/**
 * What an address shows. What it says wrongly is left out.
 * @param {string} search
 * @returns {View}
 */
export function readView(search) {
  const said = new URLSearchParams(search);
  const kind = FILTERS.find((name) => said.get(name));
  const zone = said.get('zone');
  return {
    interval: readInterval(said),
    filter: kind ? { kind, text: said.get(kind) ?? '' } : null,
    zone: zone && isZone(zone) ? zone : null,
    granularity: GRANULARITIES.find((name) => name === said.get('by')) ?? null,
    list: readList(said),
    compare: COMPARES.find((name) => name === said.get('compare')) ?? COMPARES_FIRST,
    height: said.get('height') === 'whole' ? 'whole' : null,
  };
}

/**
 * @param {URLSearchParams} said
 * @returns {List}
 */
function readList(said) {
  const row = Number(said.get('row'));
  return {
    tab: said.get('list') === 'sections' ? 'sections' : LIST_FIRST.tab,
    order: ORDERS.find((name) => name === said.get('order')) ?? LIST_FIRST.order,
    folder: said.get('folder') ?? LIST_FIRST.folder,
    find: said.get('find') ?? LIST_FIRST.find,
    row: Number.isSafeInteger(row) && row > 0 ? row - ((row - 1) % ROWS) : LIST_FIRST.row,
  };
}

/**
 * @param {URLSearchParams} said
 * @returns {Interval}
 */
function readInterval(said) {
  const [from, to, period] = [said.get('from'), said.get('to'), said.get('period')];
  if (from && to && isDay(from) && isDay(to) && from <= to) return { from, to };
  return { period: periodNamed(period ?? '')?.period ?? PERIOD_FIRST };
}

/**
 * The address of a view; "?" alone is the first one.
 * @param {View} view
 */
export function addressOf({ interval, filter, zone, granularity, list, compare, height }) {
  const said = new URLSearchParams();
  if ('period' in interval) {
    if (interval.period !== PERIOD_FIRST) said.set('period', interval.period);
  } else {
    said.set('from', interval.from);
    said.set('to', interval.to);
  }
  if (filter) said.set(filter.kind, filter.text);
  if (granularity) said.set('by', granularity);
  if (list.tab !== LIST_FIRST.tab) said.set('list', list.tab);
  if (list.order !== LIST_FIRST.order) said.set('order', list.order);
  if (list.folder) said.set('folder', list.folder);
  if (list.find) said.set('find', list.find);
  if (list.row !== LIST_FIRST.row) said.set('row', String(list.row));
  if (compare !== COMPARES_FIRST) said.set('compare', compare);
  if (height) said.set('height', height);
  if (zone) said.set('zone', zone);
  return `?${said}`;
}

/**
 * Another view's list, of the same kind and order, from its beginning.
 * @param {View} view
 * @returns {List}
 */
export const listAnew = ({ list: { tab, order } }) => ({ ...LIST_FIRST, tab, order });

/**
 * What the server is asked to compare with; what is compared with nothing leaves that out.
 * @param {View} view
 * @returns {import('./schema.js').Comparison}
 */
export const compareToOf = ({ compare }) => (compare === 'NONE' ? COMPARES_FIRST : compare);

/** @param {View} view */
export const zoneOf = (view) => view.zone ?? ownZone;

/**
 * What the server is asked for.
 * @param {Pick<View, 'interval' | 'filter' | 'zone'>} view
 * @returns {import('./schema.js').ReportFilter}
 */
export function filterOf({ interval, filter, zone }) {
  const timeZone = zone ?? ownZone;
  /** @type {import('./schema.js').ReportFilter} */
  const asked = { interval: 'period' in interval ? interval : { range: rangeOf(interval, timeZone) }, timeZone, weekStart };
  if (filter?.kind === 'page') asked.pages = { names: [filter.text] };
  if (filter?.kind === 'prefix') asked.pages = { prefix: filter.text };
  if (filter?.kind === 'contains') asked.pages = { contains: filter.text };
  if (filter?.kind === 'search') asked.pages = { search: { text: filter.text } };
  return asked;
}

/**
 * @param {{ from: string, to: string }} days
 * @param {string} zone
 */
function rangeOf({ from, to }, zone) {
  const moment = (/** @type {string} */ day) => new Date(startOf(day, zone)).toISOString();
  return { start: moment(from), end: moment(addDays(to, 1)) };
}

/**
 * The filter that a typed text means: a name's beginning if it looks like one.
 * @param {string} typed
 * @returns {Filter | null}
 */
export function filterFrom(typed) {
  const text = typed.trim();
  if (!text) return null;
  return { kind: text.startsWith('/') ? 'prefix' : 'search', text };
}
