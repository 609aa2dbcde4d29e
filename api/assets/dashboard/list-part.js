// Parts of the list of a view: pages, or sections, as the report brings them and as they are asked for.

import { PART, PLACE } from './query.js';
import { LIST_FIRST, ROWS, compareToOf, filterOf } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./schema.js').ReportData['report']} Report */
/** @typedef {import('./schema.js').PartData['report']} Listed */
/** @typedef {NonNullable<Listed['pages']>['nodes'][number]} PageNode */
/** @typedef {NonNullable<Listed['sections']>['nodes'][number]} SectionNode */
/** @typedef {Omit<PageNode, 'page'> & { name: string, pages: number | null }} Entry a page, or a section, which has pages */
/**
 * @typedef {object} Part
 * @property {Entry[]} entries
 * @property {number} row where it begins in the list, from 1
 * @property {number | null} count how many entries the list has; null if that is not told
 * @property {boolean} hasNext
 * @property {string | null} end to go on behind it
 */

/** The most entries that are asked for at once: with more of them, and all their fields, a query would be too complex. */
export const ASKED_MAX = 500;

/**
 * What the view's list looks for, if anything: the API has one filter at a time.
 * @param {View} view
 */
export const findOf = ({ filter, list }) => (filter === null && list.tab === 'pages' ? list.find : '');

/**
 * Whether the report itself brings the part of the list that the view shows.
 * @param {View} view
 */
export const isBrought = (view) => view.list.row === LIST_FIRST.row && findOf(view) === '' && (view.list.tab === 'sections' || view.list.order !== 'CHANGE');

/**
 * The view with the order that its list really has: where nothing is compared, nothing has changed.
 * @param {View} view
 * @param {Report} report
 * @returns {View}
 */
export function inOrder(view, { previous }) {
  return view.list.order === 'CHANGE' && !previous ? { ...view, list: { ...view.list, order: LIST_FIRST.order } } : view;
}

/**
 * What the report's subscription is asked for a view's list.
 * @param {View} view
 */
export function listVariables(view) {
  const { tab, order } = view.list;
  return {
    compareTo: compareToOf(view),
    first: ROWS,
    // No subscription has the order of changes.
    orderBy: /** @type {import('./schema.js').PageOrder} */ (order === 'NAME' && tab === 'pages' ? 'NAME' : 'VIEWS'),
    asSections: tab === 'sections',
    folder: folderOf(view),
  };
}

/**
 * The folder that the sections are of: the filter's, if the view has not gone deeper.
 * @param {View} view
 */
export function folderOf({ filter, list }) {
  if (list.tab !== 'sections') return '';
  return list.folder === '' && filter?.kind === 'prefix' && filter.text.endsWith('/') ? filter.text : list.folder;
}

/** @param {SectionNode} node */
export const sectionEntry = ({ isPage, pages, ...node }) => ({ ...node, pages: isPage ? null : pages });
/** @param {PageNode} node */
const pageEntry = ({ page, ...node }) => ({ ...node, name: page, pages: null });

/**
 * @param {Listed} listed
 * @param {number} row
 * @param {boolean} isCounted whether `totalCount` counts all of the list: not what was viewed in the other period only
 * @returns {Part}
 */
export function partOf({ pages, sections }, row, isCounted) {
  const entries = sections ? sections.nodes.map(sectionEntry) : (pages?.nodes ?? []).map(pageEntry);
  const { hasNextPage: hasNext, endCursor: end } = (sections ?? pages)?.pageInfo ?? { hasNextPage: false, endCursor: null };
  const count = hasNext ? (pages && isCounted ? pages.totalCount : null) : row - 1 + entries.length;
  return { entries, row, count, hasNext, end };
}

/**
 * Entries with their shares of all that the report shows: of what a list finds, too.
 * @param {Entry[]} entries
 * @param {View} view
 * @param {Report} report
 */
export function shared(entries, view, { totals }) {
  if (findOf(view) === '') return entries;
  return entries.map((entry) => ({ ...entry, share: totals.views > 0 ? entry.views / totals.views : 0 }));
}

/** Asks for parts of a view's list. */
export class ListReader {
  #feed;
  #view;
  #variables;

  /**
   * @param {import('./feed.js').Feed} feed
   * @param {View} view
   */
  constructor(feed, view) {
    this.#feed = feed;
    this.#view = view;
    const find = findOf(view);
    const filter = filterOf(find ? { ...view, filter: { kind: 'search', text: find } } : view);
    const orderBy = view.list.tab === 'pages' ? view.list.order : LIST_FIRST.order;
    this.#variables = { ...listVariables(view), filter, orderBy };
  }

  /**
   * Some entries behind a cursor.
   * @param {string | null} after
   * @param {number} row where they begin
   * @param {number} first how many
   */
  async behind(after, row, first) {
    /** @type {import('./schema.js').PartData} */
    const { report } = await this.#feed.ask(PART, { ...this.#variables, first, after });
    return partOf(report, row, this.#variables.orderBy !== 'CHANGE');
  }

  /**
   * The part that the view shows; of a list that ends before it, the last one.
   * @param {() => boolean} isNewest
   * @returns {Promise<Part | undefined>} nothing if it is of no use any more
   */
  async shown(isNewest) {
    let { row } = this.#view.list;
    /** @type {string | null} */
    let after = null;
    for (let before = 0; before < row - 1;) {
      const first = Math.min(ASKED_MAX, row - 1 - before);
      /** @type {import('./schema.js').PlaceData} */
      const answer = await this.#feed.ask(PLACE, { ...this.#variables, first, after });
      if (!isNewest()) return undefined;
      const { pages, sections } = answer.report;
      const { hasNextPage, endCursor } = (sections ?? pages)?.pageInfo ?? { hasNextPage: false, endCursor: null };
      if (hasNextPage && endCursor) [before, after] = [before + first, endCursor];
      // Begins again: for the last part, if it is known where that is.
      else [row, before, after] = [lastRow(Math.min(pages?.totalCount ?? 1, row - 1)), 0, null];
    }
    return this.behind(after, row, ROWS);
  }
}

/**
 * The first row of the last part of a list.
 * @param {number} count
 */
export const lastRow = (count) => Math.max(1, count - ((count - 1) % ROWS));
