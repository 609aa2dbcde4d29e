// The rows of a list of pages or sections.

import { makeChange, showChange } from './change.js';
import { isolated, make, mark, say } from './dom.js';
import { alignedShare, counted, number } from './format.js';
import { Rows } from './rows.js';

/** @typedef {import('./list-part.js').Entry} Entry */
/** @typedef {Entry & { href: string | null, part: number }} Item an entry, where it leads, and its share of the greatest share */

/** @param {HTMLTableSectionElement} body */
export const listRows = (body) => new Rows(body, { key: ({ name }) => name, create: makeRow, update: showRow });

/**
 * @param {Entry[]} entries
 * @param {number} least what the greatest share is at least
 * @param {(entry: Entry) => string | null} hrefOf null leads nowhere
 * @returns {Item[]}
 */
export function itemsOf(entries, least, hrefOf) {
  const most = Math.max(least, ...entries.map(({ share }) => share));
  return entries.map((entry) => ({ ...entry, href: hrefOf(entry), part: most > 0 ? entry.share / most : 0 }));
}

function makeRow() {
  const title = make('b');
  const path = make('small');
  const link = make('a', { class: 'page' }, title, ' ', path);
  const bar = make('span', { class: 'bar' });
  const views = make('td', { class: 'number' });
  const share = make('td', { class: 'share' });
  const change = makeChange();
  const element = make('tr', {}, make('th', { scope: 'row' }, link, bar), views, share, change.element);
  return { element, title, path, link, bar, views, share, change };
}

/**
 * @param {ReturnType<typeof makeRow>} row
 * @param {Item} item
 */
function showRow({ title, path, link, bar, views, share, change }, item) {
  say(title, isolated(item.title ?? item.name));
  title.classList.toggle('path', !item.title);
  if (item.pages === null) say(path, isolated(item.title ? item.name : ''));
  else say(path, counted(item.pages, 'page'));
  mark(path, 'hidden', item.title || item.pages !== null ? null : '');
  mark(link, 'href', item.href);
  mark(link, 'aria-current', item.href === null ? 'page' : null);
  mark(link, 'title', item.title ? `${item.title}\n${item.name}` : item.name);
  const part = String(item.part);
  if (bar.style.getPropertyValue('--part') !== part) bar.style.setProperty('--part', part);
  say(views, number(item.views));
  say(share, alignedShare(item.share));
  showChange(change, item);
}
