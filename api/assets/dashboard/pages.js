// The list below the chart: pages or sections, a part at a time, in an order that is chosen, with a search of its own.
// A page's name leads to the page's own view, a section's into the section.

import { find, isolated, keepPlace, mark, say } from './dom.js';
import { counted, number } from './format.js';
import { Folders } from './folders.js';
import { Latest } from './latest.js';
import { ListReader, findOf, folderOf, inOrder, isBrought, partOf, shared } from './list-part.js';
import { itemsOf, listRows } from './list-rows.js';
import { Pager } from './pager.js';
import { LIST_FIRST, ORDERS, addressOf, listAnew } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./list-part.js').Report} Report */
/** @typedef {import('./list-part.js').Part} Part */

/** Nothing is looked for while letters follow each other faster. */
const PAUSE_MS = 200;
const TITLES = { VIEWS: 'Most viewed', CHANGE: 'Changed most', NAME: 'By name' };

export class PageList {
  #card = find('list', HTMLElement);
  #title = find('pages-title', HTMLElement);
  #table = find('list-table', HTMLTableElement);
  #count = find('page-count', HTMLElement);
  #note = find('list-note', HTMLElement);
  #form = find('find', HTMLFormElement);
  #input = find('find-text', HTMLInputElement);
  #rows = listRows(find('page-rows', HTMLTableSectionElement));
  #pager = new Pager();
  #folders = new Folders();
  #latest = new Latest();
  #feed;
  /** @type {View | undefined} */
  #view;

  /**
   * @param {import('./feed.js').Feed} feed
   * @param {(address: string, isTyped?: boolean) => void} go
   */
  constructor(feed, go) {
    this.#feed = feed;
    /** @type {number | undefined} */
    let pause;
    const findTyped = () => {
      clearTimeout(pause);
      const text = this.#input.value.trim();
      if (this.#view && text !== this.#view.list.find) go(addressOf({ ...this.#view, list: { ...listAnew(this.#view), find: text } }), this.#view.list.find !== '');
    };
    this.#input.addEventListener('input', () => {
      clearTimeout(pause);
      pause = setTimeout(findTyped, PAUSE_MS);
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      findTyped();
    });
  }

  /**
   * The view has changed: shows its choices, and that its list is awaited.
   * @param {View} view
   */
  choose(view) {
    this.#view = view;
    const { filter, list } = view;
    const isOfPages = list.tab === 'pages';
    mark(this.#card, 'hidden', filter?.kind === 'page' ? '' : null);
    mark(this.#card, 'aria-busy', 'true');
    // The API has one filter at a time.
    mark(this.#form, 'hidden', isOfPages && filter === null ? null : '');
    if (document.activeElement !== this.#input) this.#input.value = list.find;
    for (const tab of /** @type {const} */ (['pages', 'sections'])) {
      const link = find(`list-${tab}`, HTMLAnchorElement);
      mark(link, 'href', addressOf({ ...view, list: { ...LIST_FIRST, order: list.order, tab } }));
      mark(link, 'aria-current', tab === list.tab ? 'true' : null);
    }
    this.#folders.show(view, folderOf(view));
    this.#showOrder(list.order);
    say(find('order-name', HTMLElement), isOfPages ? 'Page' : 'Section');
  }

  /** @param {import('./schema.js').PageOrder} wished */
  #showOrder(wished) {
    const view = this.#view;
    if (!view) return;
    const { list } = view;
    const isOfPages = list.tab === 'pages';
    const shown = isOfPages ? wished : LIST_FIRST.order;
    say(this.#title, TITLES[shown]);
    for (const order of ORDERS) {
      const link = find(`order-${order.toLowerCase()}`, HTMLAnchorElement);
      mark(link, 'href', isOfPages ? addressOf({ ...view, list: { ...list, order, row: 1 } }) : null);
      mark(/** @type {Element} */ (link.closest('th')), 'aria-sort', order === shown ? (order === 'NAME' ? 'ascending' : 'descending') : null);
    }
  }

  /**
   * Shows the list: after each refresh, and when the view has changed.
   * @param {Report} report of the view
   */
  show(report) {
    if (!this.#view) return;
    mark(this.#table, 'data-compared', String(Boolean(report.previous)));
    const view = inOrder(this.#view, report);
    this.#showOrder(view.list.order);
    if (isBrought(view)) {
      this.#latest.forget();
      this.#draw(partOf(report, 1, true), report);
      return;
    }
    this.#latest.run(async (isNewest) => {
      try {
        const part = await new ListReader(this.#feed, view).shown(isNewest);
        if (part && isNewest()) keepPlace(() => this.#draw(part, report));
      } catch (failure) {
        if (isNewest()) this.#tell(`The list can’t be shown: ${/** @type {import('./feed.js').Problem} */ (failure).message}`);
      }
    });
  }

  /**
   * @param {Part} part
   * @param {Report} report
   */
  #draw(part, report) {
    const view = this.#view;
    if (!view) return;
    const { entries, count } = part;
    const text = findOf(view);
    const least = report.pages?.nodes[0]?.share ?? report.sections?.nodes[0]?.share ?? 0;
    this.#rows.show(itemsOf(shared(entries, view, report), view.list.order === 'NAME' ? 0 : least, ({ name, pages }) => addressOf(pages === null ? pageOf(view, name) : sectionOf(view, name))));
    const pages = counted(report.totals.pages, 'page');
    say(this.#count, text && count !== null ? `${number(count)} of ${pages}` : pages);
    this.#pager.show(view, part);
    if (entries.length > 0) this.#tell();
    else if (text) this.#tell('No page viewed in this period has “', isolated(text), '” in its name or title.');
    else this.#tell('No page of this section was viewed in this period.');
  }

  /** @param {(Node | string)[]} parts */
  #tell(...parts) {
    say(this.#note, ...parts);
    mark(this.#note, 'hidden', parts.length === 0 ? '' : null);
    mark(this.#card, 'aria-busy', null);
  }
}

/**
 * A page's own view.
 * @param {View} view
 * @param {string} name
 * @returns {View}
 */
export const pageOf = (view, name) => ({ ...view, filter: { kind: 'page', text: name }, list: listAnew(view) });

/**
 * A view of what is in a section.
 * @param {View} view
 * @param {string} name
 * @returns {View}
 */
export const sectionOf = (view, name) => ({ ...view, list: { ...listAnew(view), tab: 'sections', folder: name } });
