// The field that finds pages: as one types, those with the text in their names or titles are listed. A choice opens a
// page; Enter filters by the text.

import { find, isolated, make, mark, say } from './dom.js';
import { counted, number } from './format.js';
import { Latest } from './latest.js';
import { MATCHES } from './query.js';
import { Rows } from './rows.js';
import { addressOf, filterFrom, filterOf, listAnew } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./schema.js').MatchesData} Matches */
/** @typedef {Matches['report']['pages']['nodes'][number]} Match */
/** @typedef {{ page: Match } | { filter: import('./state.js').Filter }} Choice what an option of the list chooses */

const MATCHES_LISTED = 8;
/** Nothing is asked while letters follow each other faster. */
const PAUSE_MS = 120;

export class Search {
  #input = find('search', HTMLInputElement);
  #box = find('matches-box', HTMLElement);
  #listbox = find('matches', HTMLUListElement);
  #note = find('matches-note', HTMLElement);
  #chip = find('chip', HTMLElement);
  /** @type {Rows<Choice, ReturnType<typeof makeOption>>} */
  #rows = new Rows(this.#listbox, { key: keyOf, create: makeOption, update: showOption });
  /** @type {Choice[]} */
  #choices = [];
  #active = -1;
  /** The text that was asked for last, if it looks like a name's beginning, and is in names, but begins none. */
  #noBeginning = '';
  /** @type {number | undefined} */
  #pause;
  #latest = new Latest();
  #feed;
  #go;
  /** @type {View} */
  #view;

  /**
   * @param {View} view
   * @param {import('./feed.js').Feed} feed
   * @param {(search: string) => void} go
   */
  constructor(view, feed, go) {
    this.#view = view;
    this.#feed = feed;
    this.#go = go;
    this.#input.addEventListener('input', () => this.#typed());
    this.#input.addEventListener('keydown', (event) => this.#pressed(event));
    this.#input.addEventListener('blur', () => this.#close());
    // The field keeps the focus while an option is clicked.
    this.#box.addEventListener('mousedown', (event) => event.preventDefault());
    this.#listbox.addEventListener('click', (event) => {
      const option = event.target instanceof Element ? event.target.closest('li') : null;
      const choice = option && this.#choices[[...this.#listbox.children].indexOf(option)];
      if (choice) this.#choose(choice);
    });
    find('filter', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#filterBy(this.#input.value);
    });
  }

  /** @param {View} view */
  show(view) {
    this.#view = view;
    const { filter } = view;
    this.#close();
    this.#input.value = filter && filter.kind !== 'page' ? filter.text : '';
    // Its link is pressed once, and gone.
    if (!filter && this.#chip.contains(document.activeElement)) this.#input.focus();
    this.#chip.hidden = !filter;
    if (!filter) return;
    const [before, behind] = WORDS[filter.kind];
    const text = make('span', { title: filter.text }, `${before} `, make('b', {}, isolated(filter.text)), behind);
    const href = addressOf({ ...view, filter: null, list: listAnew(view) });
    this.#chip.replaceChildren(text, make('a', { href, 'aria-label': 'Show all pages' }, '×'));
  }

  #typed() {
    clearTimeout(this.#pause);
    this.#latest.forget();
    const text = this.#input.value.trim();
    if (text) this.#pause = setTimeout(() => this.#ask(text), PAUSE_MS);
    else this.#close();
  }

  /** @param {string} text */
  #ask(text) {
    const { interval, zone } = this.#view;
    /** @type {import('./schema.js').MatchesVariables} */
    const variables = {
      filter: filterOf({ interval, zone, filter: { kind: 'search', text } }),
      first: MATCHES_LISTED,
      beginning: filterOf({ interval, zone, filter: { kind: 'prefix', text } }),
      mayBegin: filterFrom(text)?.kind === 'prefix',
    };
    this.#latest.run(async (isNewest) => {
      /** @type {() => void} */
      let tell;
      try {
        /** @type {import('./schema.js').MatchesData} */
        const matches = await this.#feed.ask(MATCHES, variables);
        tell = () => this.#list(text, matches);
      } catch (failure) {
        tell = () => this.#say([`Not found out: ${/** @type {import('./feed.js').Problem} */ (failure).message}`]);
      }
      if (isNewest()) tell();
    });
  }

  /**
   * @param {string} text
   * @param {Matches} matches
   */
  #list(text, { report: { totals, pages }, beginning }) {
    const active = this.#choices[this.#active];
    this.#noBeginning = beginning?.totals.pages === 0 && totals.pages > 0 ? text : '';
    this.#choices = pages.nodes.map((page) => ({ page }));
    const filter = this.#filterOf(text);
    if (filter && totals.pages > 0) this.#choices.push({ filter });
    this.#rows.show(this.#choices);
    this.#activate(active ? this.#choices.findIndex((choice) => keyOf(choice) === keyOf(active)) : -1);
    this.#open();
    if (totals.pages > 0) this.#say([`${counted(totals.pages, 'page')} found`], true);
    else this.#say(['No page viewed in this period has “', isolated(text), '” in its name or title.']);
  }

  /**
   * What Enter does: a text that looks like a name's beginning is one, unless it is known that no name begins so.
   * @param {string} text
   * @returns {import('./state.js').Filter | null}
   */
  #filterOf(text) {
    return text && text === this.#noBeginning ? { kind: 'search', text } : filterFrom(text);
  }

  /**
   * @param {(Node | string)[]} parts
   * @param {boolean} isForReaders who see the list need no number of what is in it
   */
  #say(parts, isForReaders = false) {
    this.#note.classList.toggle('unseen', isForReaders);
    say(this.#note, ...parts);
    this.#box.hidden = false;
  }

  #open() {
    this.#listbox.hidden = this.#choices.length === 0;
    this.#box.hidden = false;
    mark(this.#input, 'aria-expanded', String(!this.#listbox.hidden));
  }

  #close() {
    clearTimeout(this.#pause);
    this.#latest.forget();
    this.#box.hidden = true;
    mark(this.#input, 'aria-expanded', 'false');
    this.#activate(-1);
  }

  get #isOpen() {
    return !this.#box.hidden;
  }

  /** @param {number} index -1 is none of them */
  #activate(index) {
    this.#active = index;
    [...this.#listbox.children].forEach((option, at) => mark(option, 'aria-selected', String(at === index)));
    const option = this.#listbox.children[index];
    mark(this.#input, 'aria-activedescendant', option?.id ?? null);
    option?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const count = this.#choices.length;
    const isListed = this.#isOpen && !this.#listbox.hidden;
    if (event.isComposing) return;
    if (event.key === 'Escape' && this.#isOpen) this.#close();
    else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && isListed) {
      // One more place than options: none of them, which is the text itself.
      const step = event.key === 'ArrowDown' ? 1 : -1;
      this.#activate(((this.#active + 1 + step + count + 1) % (count + 1)) - 1);
    } else if (event.key === 'ArrowDown' && this.#input.value.trim()) this.#ask(this.#input.value.trim());
    else if (event.key === 'Enter' && isListed && this.#choices[this.#active]) this.#choose(this.#choices[this.#active]);
    else return;
    event.preventDefault();
  }

  /** @param {Choice | undefined} choice */
  #choose(choice) {
    if (!choice) return;
    this.#filterTo('page' in choice ? { kind: 'page', text: choice.page.page } : choice.filter);
  }

  /** @param {string} typed */
  #filterBy(typed) {
    this.#filterTo(this.#filterOf(typed.trim()));
  }

  /** @param {import('./state.js').Filter | null} filter */
  #filterTo(filter) {
    this.#close();
    this.#go(addressOf({ ...this.#view, filter, list: listAnew(this.#view) }));
  }
}

/**
 * What stands before and behind the text of a filter.
 * @type {Record<import('./state.js').FilterKind, [string, string]>}
 */
const WORDS = {
  page: ['Page', ''],
  prefix: ['Pages that begin with', ''],
  contains: ['Pages with', ' in the name, in just these letters'],
  search: ['Pages with', ' in name or title'],
};

/** @param {Choice} choice */
const keyOf = (choice) => ('page' in choice ? `page ${choice.page.page}` : 'filter');

let options = 0;

function makeOption() {
  options += 1;
  const text = make('span', { class: 'page' });
  const views = make('span', { class: 'number' });
  return { element: make('li', { id: `match-${options}`, role: 'option', 'aria-selected': 'false' }, text, views), text, views };
}

/**
 * @param {ReturnType<typeof makeOption>} option
 * @param {Choice} choice
 */
function showOption({ element, text, views }, choice) {
  element.classList.toggle('all', !('page' in choice));
  if ('page' in choice) {
    const { page, title } = choice.page;
    mark(element, 'title', title ? `${title}\n${page}` : page);
    const name = make(title ? 'small' : 'b', {}, isolated(page));
    text.replaceChildren(...(title ? [make('b', {}, isolated(title)), ' ', name] : [name]));
    say(views, number(choice.page.views));
  } else {
    const { kind, text: filter } = choice.filter;
    text.replaceChildren(make('span', {}, kind === 'prefix' ? 'Filter by names that begin with “' : 'Filter by “', isolated(filter), '”'));
    say(views, '');
  }
}
