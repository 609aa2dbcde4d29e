// How current the page is, said in one line that is true at every moment.

import { clock, duration } from './format.js';
import { find, make, say } from './dom.js';

/** @typedef {import('./schema.js').FreshnessData['freshness']} Freshness */
/** @typedef {import('./feed.js').Connection} Connection */
/** @typedef {'fresh' | 'refreshing' | 'failed' | 'overdue' | 'connecting' | 'unconnected'} State */

export class FreshnessLine {
  #line = find('freshness', HTMLElement);
  #state = make('strong');
  #text = make('span');
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
    setInterval(() => this.render(), 1_000);
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
    const { state, name, text, reason } = this.#describe();
    this.#line.dataset.state = state;
    say(this.#state, name);
    say(this.#text, text);
    say(this.#reason, reason);
    this.#reason.hidden = reason === '';
    this.#announce(state, [name, reason].filter(Boolean).join(': '));
  }

  /** @returns {{ state: State, name: string, text: string, reason: string }} */
  #describe() {
    const now = Date.now() + this.#clockAhead;
    const known = !Number.isNaN(this.#lookedAt);
    const asOf = known ? `as of ${clock(this.#lookedAt, this.zone, now)}` : 'nothing is shown yet';
    const connection = this.#connection;
    if (connection.kind === 'refused') {
      return { state: 'unconnected', name: 'Not connected', text: asOf, reason: connection.reason };
    }
    if (connection.kind === 'waiting') {
      const wait = duration(connection.retryAt - Date.now());
      return { state: 'unconnected', name: 'Not connected', text: `${asOf} · next try in ${wait}`, reason: '' };
    }
    if (connection.kind === 'connecting') {
      return known
        ? { state: 'unconnected', name: 'Not connected', text: `${asOf} · trying`, reason: '' }
        : { state: 'connecting', name: 'Connecting', text: '', reason: '' };
    }
    if (!this.#freshness) return { state: 'connecting', name: 'Connected', text: asOf, reason: '' };
    return this.#describeStatus(this.#freshness, asOf, now);
  }

  /**
   * @param {Freshness} freshness
   * @param {string} asOf
   * @param {number} now by the server's clock
   * @returns {{ state: State, name: string, text: string, reason: string }}
   */
  #describeStatus({ status, nextRefreshAt, error }, asOf, now) {
    const next = nextRefreshAt === null ? NaN : Date.parse(nextRefreshAt);
    const left = next - now;
    const isKnown = !Number.isNaN(next);
    const due = !isKnown ? '' : left > 0 ? ` · next in ${duration(left)}` : ' · next is due';
    switch (status) {
      case 'FRESH':
        return { state: 'fresh', name: 'Fresh', text: `${asOf}${due}`, reason: '' };
      case 'REFRESHING':
        return { state: 'refreshing', name: 'Refreshing', text: asOf, reason: '' };
      case 'FAILED':
        return {
          state: 'failed',
          name: 'Refresh failed',
          text: `${asOf}${due}`,
          reason: error ? `The last refresh failed: ${error}` : 'The last refresh failed.',
        };
      case 'OVERDUE': {
        // After a clock went back, what was due is still to come by it.
        const wasDue = left > 0 ? 'none came in time' : `a refresh was due ${duration(-left)} ago`;
        const since = isKnown ? wasDue : 'none has run yet';
        const reason = `Nobody refreshes the report: ${since}. What is recorded meanwhile appears after the next one.`;
        return { state: 'overdue', name: 'Overdue', text: asOf, reason };
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
