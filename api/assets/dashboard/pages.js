// The list of the most viewed pages, a part at a time, with a search of its own. A name leads to the page's own view.

import { find, isolated, make, mark, say } from './dom.js';
import { alignedShare, counted, number } from './format.js';
import { Latest } from './latest.js';
import { Pager } from './pager.js';
import { PAGES, PLACE } from './query.js';
import { Rows } from './rows.js';
import { LIST_FIRST, ROWS, addressOf, filterOf } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./schema.js').ReportData['report']} Report */
/** @typedef {Report['pages']['nodes'][number]} Page */
/** @typedef {{ pages: Page[], row: number, count: number }} Part some pages, where they begin in the list, and how many that has */
/** @typedef {Page & { href: string, part: number }} Item a page, where its name leads, and its share of the greatest share */

/** The most pages that are asked for at once. */
const PAGES_MAX = 1_000;
/** Nothing is looked for while letters follow each other faster. */
const PAUSE_MS = 200;

export class PageList {
  #card = find('list', HTMLElement);
  #count = find('page-count', HTMLElement);
  #note = find('list-note', HTMLElement);
  #form = find('find', HTMLFormElement);
  #input = find('find-text', HTMLInputElement);
  #pager = new Pager();
  /** @type {Rows<Item, ReturnType<typeof makeRow>>} */
  #rows = new Rows(find('page-rows', HTMLTableSectionElement), { key: ({ page }) => page, create: makeRow, update: showRow });
  #latest = new Latest();
  #feed;
  /** @type {View | undefined} */
  #view;

  /**
   * @param {import('./feed.js').Feed} feed
   * @param {(search: string, isTyped?: boolean) => void} go
   */
  constructor(feed, go) {
    this.#feed = feed;
    /** @type {number | undefined} */
    let pause;
    const findTyped = () => {
      clearTimeout(pause);
      const text = this.#input.value.trim();
      if (this.#view && text !== this.#view.list.find) go(addressOf({ ...this.#view, list: { ...this.#view.list, ...LIST_FIRST, find: text } }), true);
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
   * Shows what the view lists: after each refresh, and when the view has changed.
   * @param {Report} report of the view, but for its list
   * @param {View} view
   */
  show(report, view) {
    const { filter, list } = view;
    const isSame = this.#view && addressOf(this.#view) === addressOf(view);
    this.#view = view;
    mark(this.#card, 'hidden', filter?.kind === 'page' ? '' : null);
    // The API has one filter at a time.
    mark(this.#form, 'hidden', filter === null ? null : '');
    if (document.activeElement !== this.#input) this.#input.value = list.find;
    if (list.row === LIST_FIRST.row && !this.#isFinding) {
      this.#latest.forget();
      this.#draw({ pages: report.pages.nodes, row: 1, count: report.totals.pages }, report);
      return;
    }
    if (!isSame) mark(this.#card, 'aria-busy', 'true');
    this.#latest.run(async (isNewest) => {
      try {
        const part = await this.#read(report, view, isNewest);
        if (part && isNewest()) this.#draw(part, report);
      } catch (failure) {
        if (isNewest()) this.#tell(`The list can’t be shown: ${/** @type {import('./feed.js').Problem} */ (failure).message}`);
      }
    });
  }

  get #isFinding() {
    return this.#view !== undefined && this.#view.filter === null && this.#view.list.find !== '';
  }

  /**
   * A part of the list; of a list that ends before it, the last one.
   * @param {Report} report
   * @param {View} view
   * @param {() => boolean} isNewest
   * @returns {Promise<Part | undefined>} nothing if it is of no use any more
   */
  async #read(report, view, isNewest) {
    const isFinding = this.#isFinding;
    const filter = filterOf(isFinding ? { ...view, filter: { kind: 'search', text: view.list.find } } : view);
    let { row } = view.list;
    /** @type {string | null} */
    let after = null;
    for (let before = 0; before < row - 1;) {
      const first = Math.min(PAGES_MAX, row - 1 - before);
      /** @type {import('./schema.js').PlaceVariables} */
      const variables = { filter, first, after };
      /** @type {import('./schema.js').PlaceData} */
      const { report: { totals, pages } } = await this.#feed.ask(PLACE, variables);
      if (!isNewest()) return undefined;
      if (row > totals.pages) {
        // Begins again, for the last part.
        [row, before, after] = [Math.max(1, totals.pages - ((totals.pages - 1) % ROWS)), 0, null];
      } else {
        [before, after] = [before + first, pages.pageInfo.endCursor];
      }
    }
    /** @type {import('./schema.js').PagesVariables} */
    const variables = { filter, first: ROWS, after };
    /** @type {import('./schema.js').PagesData} */
    const { report: { totals, pages } } = await this.#feed.ask(PAGES, variables);
    // What is found has its share of all that is shown.
    const sum = report.totals.views;
    const nodes = isFinding ? pages.nodes.map((page) => ({ ...page, share: sum > 0 ? page.views / sum : 0 })) : pages.nodes;
    return { pages: nodes, row, count: totals.pages };
  }

  /**
   * @param {Part} part
   * @param {Report} report
   */
  #draw({ pages, row, count }, report) {
    const view = this.#view;
    if (!view) return;
    const most = Math.max(report.pages.nodes[0]?.share ?? 0, ...pages.map(({ share }) => share));
    this.#rows.show(
      pages.map((page) => ({
        ...page,
        href: addressOf({ ...view, filter: { kind: 'page', text: page.page }, list: { ...view.list, ...LIST_FIRST } }),
        part: most > 0 ? page.share / most : 0,
      })),
    );
    say(this.#count, this.#isFinding ? `${number(count)} of ${counted(report.totals.pages, 'page')}` : counted(count, 'page'));
    this.#pager.show({ view, row, rows: pages.length, count });
    this.#tell(...(count === 0 ? ['No page viewed in this period has “', isolated(view.list.find), '” in its name or title.'] : []));
  }

  /** @param {(Node | string)[]} parts */
  #tell(...parts) {
    say(this.#note, ...parts);
    mark(this.#note, 'hidden', parts.length === 0 ? '' : null);
    mark(this.#card, 'aria-busy', null);
  }
}

function makeRow() {
  const title = make('b');
  const path = make('small');
  const link = make('a', { class: 'page' }, title, ' ', path);
  const bar = make('span', { class: 'bar' });
  const views = make('td', { class: 'number' });
  const share = make('td', { class: 'share' });
  const element = make('tr', {}, make('th', { scope: 'row' }, link, bar), views, share);
  return { element, title, path, link, bar, views, share };
}

/**
 * @param {ReturnType<typeof makeRow>} row
 * @param {Item} item
 */
function showRow({ title, path, link, bar, views, share }, item) {
  say(title, isolated(item.title ?? item.page));
  title.classList.toggle('path', !item.title);
  say(path, isolated(item.title ? item.page : ''));
  mark(path, 'hidden', item.title ? null : '');
  mark(link, 'href', item.href);
  mark(link, 'title', item.title ? `${item.title}\n${item.page}` : item.page);
  const part = String(item.part);
  if (bar.style.getPropertyValue('--part') !== part) bar.style.setProperty('--part', part);
  say(views, number(item.views));
  say(share, alignedShare(item.share));
}
