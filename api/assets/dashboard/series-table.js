// The series as a table, for those who want numbers. Its rows stay the same elements, so that what is selected stays so.
// There are rows only while the table is open: they cost as much as the chart itself, and few people read them.

import { find, make, say } from './dom.js';

/** Of a long series the newest rows are seen first. */
const ROWS_SHOWN_MAX = 31;

export class SeriesTable {
  #rows = find('series-rows', HTMLTableSectionElement);
  #box = find('series-table', HTMLDetailsElement);
  #scroll = find('series-scroll', HTMLElement);

  /** @type {() => void} */
  #fill = () => {};

  constructor() {
    this.#box.addEventListener('toggle', () => {
      if (!this.#box.open) return;
      this.#fill();
      this.#scroll.scrollTop = this.#scroll.scrollHeight;
    });
  }

  /**
   * @param {() => (string | [number: string, when: string])[][]} rows when, how many, how many then if that is compared, and what is to be said of it
   * @param {string | null} before what is compared with; null is nothing
   */
  show(rows, before) {
    this.#fill = () => this.#write(rows(), before);
    if (this.#box.open) this.#fill();
    else this.#rows.replaceChildren();
  }

  /**
   * @param {(string | [number: string, when: string])[][]} rows
   * @param {string | null} before
   */
  #write(rows, before) {
    const other = find('series-other', HTMLTableCellElement);
    other.hidden = before === null;
    say(other, before === null ? '' : `Views ${before}`);
    if (this.#rows.rows[0]?.cells.length !== rows[0]?.length) this.#rows.replaceChildren();
    this.#scroll.classList.toggle('long', rows.length > ROWS_SHOWN_MAX);
    while (this.#rows.rows.length > rows.length) this.#rows.deleteRow(-1);
    rows.forEach((cells, index) => {
      const row = this.#rows.rows[index] ?? this.#rows.appendChild(make('tr', {}, make('th', { scope: 'row' }), ...cells.slice(1).map(() => make('td'))));
      cells.forEach((content, column) => {
        const cell = row.cells[column];
        if (cell) say(cell, ...(typeof content === 'string' ? [content] : [`${content[0]} `, make('small', {}, content[1])]));
      });
    });
  }
}
