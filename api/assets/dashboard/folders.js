// Where one is among the sections: "All / blog / 2026", each a link.

import { find, isolated, make, mark } from './dom.js';
import { LIST_FIRST, addressOf } from './state.js';

export class Folders {
  #box = find('folders', HTMLElement);

  /**
   * @param {import('./state.js').View} view
   * @param {string} folder
   */
  show(view, folder) {
    const focused = [...this.#box.querySelectorAll('a')].findIndex((link) => link === document.activeElement);
    mark(this.#box, 'hidden', folder === '' ? '' : null);
    const places = [{ name: '', label: 'All sections' }, ...stepsOf(folder)];
    const crumbs = places.map(({ name, label }, index) => {
      const isHere = index === places.length - 1;
      const href = addressOf({ ...view, list: { ...LIST_FIRST, order: view.list.order, tab: 'sections', folder: name } });
      return make('li', {}, isHere ? make('b', { 'aria-current': 'location', title: name }, isolated(label)) : make('a', { href, title: name || label }, isolated(label)));
    });
    const only = make('a', { href: addressOf({ ...view, filter: { kind: 'prefix', text: folder }, list: { ...LIST_FIRST, tab: 'sections' } }) }, 'Show only this section');
    const isFilter = view.filter?.kind === 'prefix' && view.filter.text === folder;
    this.#box.replaceChildren(make('ol', {}, ...crumbs), ...(isFilter || view.filter?.kind === 'search' ? [] : [only]));
    if (focused >= 0) this.#box.querySelectorAll('a')[focused]?.focus({ preventScroll: true });
  }
}

/**
 * The folders on the way to one: a slash at the very beginning belongs to the first.
 * @param {string} folder
 * @returns {{ name: string, label: string }[]}
 */
export function stepsOf(folder) {
  const steps = [];
  for (let from = 0; from < folder.length;) {
    const slash = folder.indexOf('/', from === 0 ? 1 : from);
    const to = slash < 0 ? folder.length : slash + 1;
    steps.push({ name: folder.slice(0, to), label: folder.slice(from, to) });
    from = to;
  }
  return steps;
}
