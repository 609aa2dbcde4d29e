// Lists whose rows have keys: a row stays the same element as long as its key is in the list.

/**
 * @template Item, Row
 * @typedef {object} Kind
 * @property {(item: Item) => string} key
 * @property {(item: Item) => Row & { element: HTMLElement }} create
 * @property {(row: Row & { element: HTMLElement }, item: Item) => void} update changes only what has changed
 */

/** @template Item, Row */
export class Rows {
  #box;
  #kind;
  /** @type {Map<string, Row & { element: HTMLElement }>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} box
   * @param {Kind<Item, Row>} kind
   */
  constructor(box, kind) {
    this.#box = box;
    this.#kind = kind;
  }

  /** @param {Item[]} items with a key each */
  show(items) {
    const before = this.#rows;
    const focused = this.#place(document.activeElement);
    this.#rows = new Map();
    for (const item of items) {
      const key = this.#kind.key(item);
      const row = before.get(key) ?? this.#kind.create(item);
      this.#kind.update(row, item);
      this.#rows.set(key, row);
    }
    for (const [key, row] of before) if (!this.#rows.has(key)) row.element.remove();
    this.#arrange([...this.#rows.values()].map(({ element }) => element));
    if (focused >= 0 && !this.#box.contains(document.activeElement)) this.#focusNear(focused);
  }

  /** @param {Node | null} node */
  #place(node) {
    return node && this.#box.contains(node) ? [...this.#box.children].findIndex((row) => row.contains(node)) : -1;
  }

  /**
   * Puts the rows into order. What is moved loses the focus, and what is selected in it: so the row that has one of
   * them stays, and others move around it.
   * @param {HTMLElement[]} wanted
   */
  #arrange(wanted) {
    const fixed = [document.activeElement, getSelection()?.anchorNode ?? null].map((node) => wanted.find((row) => row.contains(node))).find(Boolean);
    /** @type {Element | null} */
    let next = null;
    for (const row of wanted.reverse()) {
      if (row === fixed) while (row.nextElementSibling !== next && row.nextElementSibling) this.#box.insertBefore(row.nextElementSibling, row);
      else if (row.nextElementSibling !== next || row.parentElement !== this.#box) this.#box.insertBefore(row, next);
      next = row;
    }
  }

  /**
   * The row with the focus has gone: the one in its place gets it.
   * @param {number} place
   */
  #focusNear(place) {
    const row = this.#box.children[Math.min(place, this.#box.children.length - 1)];
    row?.querySelector('a')?.focus({ preventScroll: true });
  }
}
