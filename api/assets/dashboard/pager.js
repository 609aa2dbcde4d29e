// Leads through a long list, a part at a time: "26–50 of 1,047".

import { find, mark, say } from './dom.js';
import { number } from './format.js';
import { ROWS, addressOf } from './state.js';

export class Pager {
  #box = find('pager', HTMLElement);
  #rows = find('pager-rows', HTMLElement);
  #links = ['first', 'previous', 'next', 'last'].map((name) => find(`pager-${name}`, HTMLAnchorElement));

  /** @param {{ view: import('./state.js').View, row: number, rows: number, count: number }} shown the first row, how many are shown, and how many there are */
  show({ view, row, rows, count }) {
    mark(this.#box, 'hidden', count > ROWS ? null : '');
    say(this.#rows, `${number(row)}–${number(row + rows - 1)} of ${number(count)}`);
    const last = count - ((count - 1) % ROWS);
    const targets = [1, row - ROWS, row + ROWS, last];
    const isThere = [row > 1, row > 1, row < last, row < last];
    this.#links.forEach((link, index) => {
      mark(link, 'href', addressOf({ ...view, list: { ...view.list, row: isThere[index] ? (targets[index] ?? row) : row } }));
      // It keeps the focus, and leads nowhere else.
      mark(link, 'aria-disabled', isThere[index] ? null : 'true');
    });
  }
}
