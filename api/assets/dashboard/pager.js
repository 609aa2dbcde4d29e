// Leads through a long list, a part at a time: "26–50 of 1,047".

import { find, mark, say } from './dom.js';
import { number } from './format.js';
import { lastRow } from './list-part.js';
import { ROWS, addressOf } from './state.js';

export class Pager {
  #box = find('pager', HTMLElement);
  #rows = find('pager-rows', HTMLElement);
  #first = find('pager-first', HTMLAnchorElement);
  #previous = find('pager-previous', HTMLAnchorElement);
  #next = find('pager-next', HTMLAnchorElement);
  #last = find('pager-last', HTMLAnchorElement);

  /**
   * @param {import('./state.js').View} view
   * @param {import('./list-part.js').Part} part what is shown
   */
  show(view, { row, entries, count, hasNext }) {
    mark(this.#box, 'hidden', row > 1 || hasNext ? null : '');
    const rows = `${number(row)}–${number(row + entries.length - 1)}`;
    say(this.#rows, count === null ? rows : `${rows} of ${number(count)}`);
    /** @type {[HTMLAnchorElement, number, boolean][]} */
    const links = [
      [this.#first, 1, row > 1],
      [this.#previous, row - ROWS, row > 1],
      [this.#next, row + ROWS, hasNext],
      [this.#last, lastRow(count ?? 1), hasNext && count !== null],
    ];
    for (const [link, target, isThere] of links) {
      mark(link, 'href', addressOf({ ...view, list: { ...view.list, row: isThere ? target : row } }));
      // It keeps the focus, and leads nowhere else.
      mark(link, 'aria-disabled', isThere ? null : 'true');
    }
  }
}
