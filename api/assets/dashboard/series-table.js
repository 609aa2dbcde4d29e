// The series as a table, for those who want numbers. Its rows stay the same elements, so that what is selected stays so.

import { find, make, say } from './dom.js';

/** Of a long series the newest rows are seen first. */
const ROWS_SHOWN_MAX = 31;

export class SeriesTable {
  #rows = find('series-rows', HTMLTableSectionElement);
  #box = find('series-table', HTMLDetailsElement);
  #scroll = find('series-scroll', HTMLElement);

  constructor() {
    this.#box.addEventListener('toggle', () => {
      if (this.#box.open) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    });
  }

  /** @param {string[][]} rows when, how many, and what is to be said of it */
  show(rows) {
    this.#scroll.classList.toggle('long', rows.length > ROWS_SHOWN_MAX);
    while (this.#rows.rows.length > rows.length) this.#rows.deleteRow(-1);
    rows.forEach((cells, index) => {
      const row = this.#rows.rows[index] ?? this.#rows.appendChild(make('tr', {}, make('th', { scope: 'row' }), ...cells.slice(1).map(() => make('td'))));
      cells.forEach((text, column) => row.cells[column] && say(row.cells[column], text));
    });
  }
}
