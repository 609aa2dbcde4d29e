// A view without views: says whether there are any elsewhere, and leads to the nearest.

import { find, isolated, make, say } from './dom.js';
import { counted, dayRange } from './format.js';
import { ELSEWHERE } from './query.js';
import { addressOf, filterOf } from './state.js';
import { dayPart, lastOfMonth } from './time.js';
import { readToken } from './token.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./schema.js').ElsewhereData} Elsewhere */
/** @typedef {import('./schema.js').ReportData['report']['interval']} Interval */

export class Nothing {
  #panel = find('nothing', HTMLElement);
  #title = find('nothing-title', HTMLElement);
  #text = find('nothing-text', HTMLElement);
  #offers = find('nothing-offers', HTMLElement);
  #first = find('first-view', HTMLElement);
  #feed;
  /** What is asked already: each refresh says again that there is nothing. */
  #asked = '';
  /** @type {(() => void)[]} */
  #ends = [];

  /** @param {import('./feed.js').Feed} feed */
  constructor(feed) {
    this.#feed = feed;
    const command = firstViewCommand();
    const code = find('first-view-command', HTMLElement);
    say(code, command);
    find('copy', HTMLButtonElement).addEventListener('click', () => copy(command, code));
  }

  hide() {
    this.#panel.hidden = true;
    this.#stop();
  }

  /**
   * @param {View} view
   * @param {Interval} interval
   */
  show(view, interval) {
    const key = JSON.stringify([addressOf(view), interval]);
    if (key === this.#asked) return;
    this.#stop();
    this.#asked = key;
    if (this.#panel.hidden) this.#tell('No views here', 'Looking where there are some.', []);
    this.#panel.hidden = false;
    this.#ask(view, { interval: { period: 'ALL_TIME' }, granularity: 'MONTH' }, ({ totals, series }) => {
      if (totals.views === 0) this.#tellNone(view);
      else this.#findDays(view, nearest(series, interval));
    });
  }

  /** @param {View} view */
  #tellNone(view) {
    const { filter } = view;
    if (!filter) {
      this.#tell('Nothing has been counted yet', 'Record the first view, with this command for instance:', []);
      this.#first.hidden = false;
    } else if (filter.kind === 'search') {
      this.#tellNever(view, filter.text);
    } else {
      // A title, or capital letters where there are small ones.
      const searched = { ...view, filter: { ...filter, kind: /** @type {const} */ ('search') } };
      this.#ask(searched, { interval: { period: 'ALL_TIME' }, granularity: 'MONTH' }, ({ totals }) => {
        if (totals.views === 0) this.#tellNever(view, filter.text);
        else this.#tellSearched(searched, filter, totals.pages);
      }, () => this.#tellNever(view, filter.text));
    }
  }

  /**
   * @param {View} searched
   * @param {import('./state.js').Filter} filter
   * @param {number} pages
   */
  #tellSearched(searched, { kind, text }, pages) {
    const none = { page: 'No page is named', prefix: 'No name begins with', contains: 'No name has, in just these letters,', search: '' }[kind];
    const has = pages === 1 ? 'has it in its name or title' : 'have it in their names or titles';
    const there = make('a', { class: 'primary', href: addressOf(searched) }, pages === 1 ? 'Show it' : 'Show them');
    this.#tell('No views of just this', [`${none} “`, isolated(text), `”. ${counted(pages, 'page')} ${has}.`], [there, allPages(searched)]);
  }

  /**
   * @param {View} view
   * @param {string} text
   */
  #tellNever(view, text) {
    this.#tell('No views, at any time', ['Nothing was ever counted for “', isolated(text), '”.'], [allPages(view)]);
  }

  /**
   * @param {View} view
   * @param {Elsewhere['report']['series'][number] | undefined} month
   */
  #findDays(view, month) {
    if (!month) return;
    const first = dayPart(month.localStart);
    this.#ask(view, { interval: { from: first, to: lastOfMonth(first) }, granularity: 'DAY' }, ({ totals, series }) => {
      const days = series.filter(({ views }) => views > 0);
      const [first, last] = [days[0], days.at(-1)];
      const all = make('a', { href: addressOf({ ...view, interval: { period: 'ALL_TIME' }, granularity: null }) }, 'Show all time');
      if (!first || !last) {
        this.#tell('No views in this period', 'There are some at other times.', [all]);
        return;
      }
      const interval = { from: dayPart(first.localStart), to: dayPart(last.localStart) };
      const name = dayRange(interval.from, interval.to);
      const there = make('a', { class: 'primary', href: addressOf({ ...view, interval, granularity: null }) }, `Show ${name}`);
      this.#tell('No views in this period', `The nearest are ${counted(totals.views, 'view')} of ${name}.`, [there, all]);
    });
  }

  /**
   * @param {string} title
   * @param {string | (Node | string)[]} text
   * @param {Node[]} offers
   */
  #tell(title, text, offers) {
    say(this.#title, title);
    say(this.#text, ...[text].flat());
    this.#offers.replaceChildren(...offers);
    this.#first.hidden = true;
  }

  /**
   * @param {View} view
   * @param {{ interval: View['interval'], granularity: import('./schema.js').Granularity }} which
   * @param {(report: Elsewhere['report']) => void} tell
   * @param {(problem: import('./feed.js').Problem) => void} fail
   */
  #ask(view, { interval, granularity }, tell, fail = ({ message }) => this.#tell('No views here', `Where there are some could not be found out: ${message}`, [])) {
    /** @type {import('./schema.js').ElsewhereVariables} */
    const variables = { filter: filterOf({ ...view, interval }), granularity };
    /** @type {import('./feed.js').Sink<Elsewhere>} */
    const sink = {
      data: ({ report }) => {
        // One answer to a question is enough until the view's own report says otherwise, unless it is "none".
        if (report.totals.views > 0) end();
        tell(report);
      },
      problem: fail,
    };
    const end = this.#feed.watch(ELSEWHERE, variables, sink);
    this.#ends.push(end);
  }

  #stop() {
    for (const end of this.#ends) end();
    this.#ends = [];
    this.#asked = '';
  }
}

/** @param {View} view */
const allPages = (view) => make('a', { href: addressOf({ ...view, filter: null }) }, 'Show all pages');

/**
 * The bucket with views that is nearest to an interval.
 * @param {Elsewhere['report']['series']} series
 * @param {Interval} interval
 */
function nearest(series, interval) {
  const [start, end] = [Date.parse(interval.start), Date.parse(interval.end)];
  /** @param {{ start: string, end: string }} of */
  const distance = (of) => Math.max(0, Date.parse(of.start) - end, start - Date.parse(of.end));
  return series.filter(({ views }) => views > 0).sort((a, b) => distance(a) - distance(b))[0];
}

/** What a shell takes, on the address that the visitor has come by. */
function firstViewCommand() {
  const query = 'mutation { recordPageViews(input: {increments: [{page: "/hello", title: "Hello"}]}) { views recordedAt } }';
  const token = readToken() === null ? '' : ' -H "authorization: Bearer $TOKEN"';
  return `curl ${location.origin}/graphql${token} -H 'content-type: application/json' -d '${JSON.stringify({ query })}'`;
}

/**
 * @param {string} command
 * @param {HTMLElement} code
 */
async function copy(command, code) {
  const done = find('copied', HTMLElement);
  try {
    await navigator.clipboard.writeText(command);
    say(done, 'Copied');
  } catch {
    // Browsers have no clipboard for pages without TLS, but on this very machine.
    getSelection()?.selectAllChildren(code);
    say(done, 'Selected: copy it with Ctrl+C');
  }
}
