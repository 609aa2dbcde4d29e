// The buttons that give what is shown as files.

import { csvOf, download } from './csv.js';
import { find, mark, say } from './dom.js';
import { daysIn, number } from './format.js';
import { ASKED_MAX, ListReader, inOrder, shared } from './list-part.js';
import { zoneOf } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./list-part.js').Report} Report */
/** @typedef {import('./list-part.js').Entry} Entry */

/** The most entries of a list in a file. */
const ENTRIES_MAX = 100_000;

export class TakeAlong {
  #list = find('list-csv', HTMLButtonElement);
  #said = find('csv-said', HTMLElement);
  #feed;
  /** @type {{ report: Report, view: View, granularity: import('./schema.js').Granularity } | undefined} */
  #shown;

  /** @param {import('./feed.js').Feed} feed */
  constructor(feed) {
    this.#feed = feed;
    find('series-csv', HTMLButtonElement).addEventListener('click', () => this.#giveSeries());
    this.#list.addEventListener('click', () => this.#giveList());
  }

  /**
   * @param {Report} report
   * @param {View} view
   * @param {import('./schema.js').Granularity} granularity
   */
  show(report, view, granularity) {
    this.#shown = { report, view, granularity };
  }

  #giveSeries() {
    if (!this.#shown) return;
    const { report, view, granularity } = this.#shown;
    const { series, site, previous } = report;
    const head = ['start', 'local start', 'views', 'complete', 'whole', ...(site ? ['views of the site', 'share'] : []), ...(previous ? ['other local start', 'other views'] : [])];
    const rows = series.map(({ start, localStart, views, complete, whole }, index) => {
      const all = site?.series[index]?.views ?? 0;
      const other = previous?.series[index];
      const compared = previous ? [other?.localStart ?? null, other?.views ?? null] : [];
      return [start, localStart, views, String(complete), String(whole), ...(site ? [all, all > 0 ? views / all : null] : []), ...compared];
    });
    download(nameOf(`views-by-${granularity.toLowerCase()}`, report, view), csvOf(head, rows));
  }

  async #giveList() {
    if (!this.#shown || this.#list.getAttribute('aria-disabled')) return;
    const { report, view } = this.#shown;
    mark(this.#list, 'aria-disabled', 'true');
    try {
      const { entries: read, isWhole } = await this.#readAll(inOrder(view, report));
      const entries = shared(read, view, report);
      const [text, kind] = view.list.tab === 'sections' ? [sectionsText(entries), 'sections'] : [pagesText(entries), 'pages'];
      download(nameOf(kind, report, view), text);
      say(this.#said, isWhole ? '' : `The file has the first ${number(ENTRIES_MAX)}.`);
    } catch (failure) {
      say(this.#said, `The list can’t be read: ${/** @type {import('./feed.js').Problem} */ (failure).message}`);
    }
    mark(this.#list, 'aria-disabled', null);
  }

  /**
   * All of the list that is shown in parts. Should it change meanwhile, an entry stands where it was read first.
   * @param {View} view
   */
  async #readAll(view) {
    const reader = new ListReader(this.#feed, view);
    /** @type {Map<string, Entry>} */
    const entries = new Map();
    /** @type {string | null} */
    let after = null;
    let hasNext = true;
    while (hasNext && entries.size < ENTRIES_MAX) {
      /** @type {import('./list-part.js').Part} */
      const part = await reader.behind(after, entries.size + 1, ASKED_MAX);
      for (const entry of part.entries) if (!entries.has(entry.name)) entries.set(entry.name, entry);
      [after, hasNext] = [part.end, part.hasNext && part.end !== null];
      if (hasNext) say(this.#said, `${number(entries.size)} read …`);
    }
    return { entries: [...entries.values()], isWhole: !hasNext };
  }
}

/** @param {Entry[]} entries */
const pagesText = (entries) =>
  csvOf(
    ['page', 'title', 'views', 'share', 'comparable views', 'previous views', 'change'],
    entries.map(({ name, title, views, share, comparableViews, previous, change }) => [name, title, views, share, comparableViews, previous, change]),
  );

/** @param {Entry[]} entries */
const sectionsText = (entries) =>
  csvOf(
    ['section', 'title', 'pages', 'views', 'share', 'comparable views', 'previous views', 'change'],
    entries.map(({ name, title, pages, views, share, comparableViews, previous, change }) => [name, title, pages ?? 1, views, share, comparableViews, previous, change]),
  );

/**
 * @param {string} what
 * @param {Report} report
 * @param {View} view
 */
function nameOf(what, { interval }, view) {
  const { from, to } = daysIn(interval, zoneOf(view));
  return `${what}-${from === to ? from : `${from}-to-${to}`}.csv`;
}
