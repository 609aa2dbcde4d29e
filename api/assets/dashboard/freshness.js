// How current the page is, in a few calm words; the rest is told to those who point at them, tap them or go there with the keys.

import { ago, clock } from './format.js';
import { find, make, say } from './dom.js';

/** @typedef {import('./schema.js').FreshnessData['freshness']} Freshness */
/** @typedef {import('./feed.js').Connection} Connection */
/** @typedef {'fresh' | 'refreshing' | 'failed' | 'overdue' | 'connecting' | 'unconnected'} State */
/** @typedef {{ state: State, name: string, reason?: string, next?: string }} Description what there is to say, but for the time */

export class FreshnessLine {
  #line = find('freshness', HTMLButtonElement);
  #state = make('strong');
  #text = make('span');
  #more = find('freshness-more', HTMLElement);
  #reason = find('freshness-reason', HTMLElement);
  #announcer = find('announcer', HTMLElement);
  /** @type {Connection} */
  #connection = { kind: 'connecting' };
  /** @type {Freshness | null} */
  #freshness = null;
  /**
   * What is shown is as of then, which may be a moment older than the newest refresh. It is the time of the wall clock:
   * `asOf` is ahead of it after a clock went back.
   */
  #lookedAt = NaN;
  /** How far the server's clock is ahead of this one. */
  #clockAhead = 0;
  /** @type {string | null} */
  #announced = null;
  zone = 'UTC';

  constructor() {
    this.#line.append(make('span', { class: 'dot', 'aria-hidden': 'true' }), this.#state, this.#text);
    this.#openMore();
    setInterval(() => this.render(), 1_000);
  }

  /** With a mouse by pointing, by keyboard with the focus, by touch with a tap. */
  #openMore() {
    const show = (/** @type {boolean} */ isShown) => {
      this.#more.hidden = !isShown;
    };
    const around = find('now', HTMLElement);
    around.addEventListener('pointerenter', ({ pointerType }) => pointerType === 'mouse' && show(true));
    around.addEventListener('pointerleave', () => show(document.activeElement === this.#line && !this.#more.hidden));
    this.#line.addEventListener('focus', () => show(true));
    this.#line.addEventListener('click', () => show(true));
    this.#line.addEventListener('blur', () => show(false));
    addEventListener('keydown', ({ key }) => key === 'Escape' && show(false));
    addEventListener('pointerdown', ({ target }) => target instanceof Node && !around.contains(target) && show(false));
  }

  /** @param {Connection} connection */
  connectionIs(connection) {
    this.#connection = connection;
    this.render();
  }

  /** @param {Freshness} freshness */
  is(freshness) {
    this.#freshness = freshness;
    if (freshness.lookedAt !== null && freshness.stalenessSeconds !== null) {
      this.#clockAhead = Date.parse(freshness.lookedAt) + freshness.stalenessSeconds * 1_000 - Date.now();
    }
    this.render();
  }

  /** @param {string | null} lookedAt of the report that is shown */
  shows(lookedAt) {
    this.#lookedAt = lookedAt === null ? NaN : Date.parse(lookedAt);
    this.render();
  }

  render() {
    const now = Date.now() + this.#clockAhead;
    const { state, name, reason = '', next = '' } = this.#describe(now);
    const isKnown = !Number.isNaN(this.#lookedAt);
    const asOf = () => `All that was recorded as of ${clock(this.#lookedAt, this.zone, now)} is shown.`;
    this.#line.dataset.state = state;
    say(this.#state, name);
    say(this.#text, isKnown ? `updated ${ago(now - this.#lookedAt)}` : '');
    say(this.#more, [isKnown ? asOf() : 'Nothing is shown yet.', next].filter(Boolean).join(' '));
    say(this.#reason, reason);
    this.#reason.hidden = reason === '';
    this.#announce(state, [name, reason].filter(Boolean).join(': '));
  }

  /**
   * @param {number} now by the server's clock
   * @returns {Description}
   */
  #describe(now) {
    const connection = this.#connection;
    switch (connection.kind) {
      case 'refused':
        return { state: 'unconnected', name: 'Not connected', reason: connection.reason };
      case 'waiting':
        return { state: 'unconnected', name: 'Not connected', next: `Next try at ${clock(connection.retryAt, this.zone, Date.now())}.` };
      case 'connecting':
        if (Number.isNaN(this.#lookedAt)) return { state: 'connecting', name: 'Connecting' };
        return { state: 'unconnected', name: 'Not connected', next: 'Trying to connect.' };
      case 'locked':
        return { state: 'connecting', name: '' };
      case 'connected':
        return this.#freshness ? this.#describeStatus(this.#freshness, now) : { state: 'connecting', name: 'Connected' };
    }
  }

  /**
   * @param {Freshness} freshness
   * @param {number} now by the server's clock
   * @returns {Description}
   */
  #describeStatus({ status, nextRefreshAt, error }, now) {
    const due = nextRefreshAt === null ? NaN : Date.parse(nextRefreshAt);
    const isKnown = !Number.isNaN(due);
    const next = isKnown ? `Next refresh at ${clock(due, this.zone, now)}.` : '';
    switch (status) {
      case 'FRESH':
        return { state: 'fresh', name: 'Fresh', next };
      case 'REFRESHING':
        return { state: 'refreshing', name: 'Refreshing', next: 'A refresh is under way.' };
      case 'FAILED':
        return { state: 'failed', name: 'Refresh failed', reason: error ? `The last refresh failed: ${error}` : 'The last refresh failed.', next };
      case 'OVERDUE': {
        // After a clock went back, what was due is still to come by it.
        const wasDue = due > now ? 'none came in time' : `a refresh was due ${ago(now - due)}`;
        const since = isKnown ? wasDue : 'none has run yet';
        const reason = `Nobody refreshes the report: ${since}. What is recorded meanwhile appears after the next one.`;
        return { state: 'overdue', name: 'Overdue', reason };
      }
    }
  }

  /**
   * Reads out a change of state; not that a refresh begins, which it does all the time.
   * @param {State} state
   * @param {string} text
   */
  #announce(state, text) {
    const kind = state === 'refreshing' ? 'fresh' : state;
    if (kind === this.#announced) return;
    const isFirst = this.#announced === null || this.#announced === 'connecting';
    this.#announced = kind;
    if (!(isFirst && kind === 'fresh')) say(this.#announcer, text);
  }
}
