// What the visitor can choose. Every choice is an address: most of them are links.

import { COMPARISONS } from './compare.js';
import { find, make, mark, say } from './dom.js';
import { dayRange, daysIn, span } from './format.js';
import { PERIODS, granularitiesOf } from './periods.js';
import { RangePanel } from './range.js';
import { COMPARES, COMPARES_FIRST, addressOf, zoneOf } from './state.js';
import { intervalOf, stepped } from './steps.js';
import { dayOf, ownZone } from './time.js';

/** @typedef {import('./state.js').View} View */

export class Controls {
  #periods = find('periods', HTMLElement);
  #steps = { earlier: find('earlier', HTMLAnchorElement), later: find('later', HTMLAnchorElement) };
  #compare = find('compare', HTMLSelectElement);
  #range;
  #zone = find('zone', HTMLSelectElement);
  #granularities = find('granularities', HTMLElement);
  /** @type {(search: string) => void} */
  #go;
  /** @type {View} */
  #view;

  /**
   * @param {View} view
   * @param {(search: string) => void} go
   */
  constructor(view, go) {
    [this.#view, this.#go] = [view, go];
    this.#fillZones();
    this.#periods.addEventListener('scroll', () => this.#hintAtMore());
    new ResizeObserver(() => this.#hintAtMore()).observe(this.#periods);
    this.#range = new RangePanel((days) => this.chooseDays(days));
    this.#compare.append(...COMPARISONS.map(({ compare, label }) => make('option', { value: compare }, label)));
    this.#compare.addEventListener('change', () => this.#choose({ compare: COMPARES.find((name) => name === this.#compare.value) ?? COMPARES_FIRST }));
    this.#zone.addEventListener('change', () => this.#choose({ zone: this.#zone.value || null }));
  }

  /** @param {Partial<View>} change */
  #choose(change) {
    this.#go(addressOf({ ...this.#view, ...change }));
  }

  /** @param {import('./steps.js').Days} days */
  chooseDays(days) {
    this.#choose({ interval: intervalOf(days, this.#today()), granularity: null });
  }

  /** @returns {import('./keys.js').Key[]} */
  keys() {
    const periods = PERIODS.map(({ period, key, label }) => ({ key, name: label, run: () => this.#choose({ interval: { period }, granularity: null }) }));
    const nextCompare = () => COMPARES[(COMPARES.indexOf(this.#view.compare) + 1) % COMPARES.length] ?? COMPARES_FIRST;
    return [
      { key: 'ArrowLeft', name: 'Earlier', run: () => this.#steps.earlier.click() },
      { key: 'ArrowRight', name: 'Later', run: () => this.#steps.later.click() },
      ...periods,
      { key: 'c', name: 'Choose days', run: () => this.#range.open() },
      { key: 'x', name: 'Compare with something else', run: () => this.#choose({ compare: nextCompare() }) },
      { key: '/', name: 'Find pages', run: () => find('search', HTMLInputElement).focus() },
    ];
  }

  #today() {
    return dayOf(Date.now(), zoneOf(this.#view));
  }

  #fillZones() {
    const option = (/** @type {string} */ value, /** @type {string} */ text) => make('option', { value }, text);
    const all = Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC');
    this.#zone.append(option('', `${ownZone} (yours)`), option('UTC', 'UTC'), ...all.map((zone) => option(zone, zone)));
  }

  /** @param {View} view */
  show(view) {
    this.#view = view;
    const { interval, zone } = view;
    const chosen = 'period' in interval ? interval.period : null;
    const links = PERIODS.map(({ period, label }) => {
      const href = addressOf({ ...view, interval: { period }, granularity: null });
      return make('a', period === chosen ? { href, 'aria-current': 'true' } : { href }, label);
    });
    this.#replace(this.#periods, links);
    // On a narrow screen the row is longer than there is room for.
    const current = links.find((link) => link.hasAttribute('aria-current'));
    if (current) this.#periods.scrollLeft = current.offsetLeft - (this.#periods.clientWidth - current.offsetWidth) / 2;
    this.#hintAtMore();
    this.#compare.value = view.compare;
    if (zone && ![...this.#zone.options].some(({ value }) => value === zone)) this.#zone.append(make('option', { value: zone }, zone));
    this.#zone.value = zone ?? '';
  }

  /** Fades the row of periods where it goes on. */
  #hintAtMore() {
    const { scrollLeft, clientWidth, scrollWidth } = this.#periods;
    this.#periods.classList.toggle('more-before', scrollLeft > 1);
    this.#periods.classList.toggle('more-after', scrollLeft + clientWidth < scrollWidth - 1);
  }

  /**
   * Once it is known what the view came to.
   * @param {View} view
   * @param {import('./schema.js').ReportData['report']} report
   * @param {import('./schema.js').Granularity} granularity
   */
  showInterval(view, { interval, countedSince }, granularity) {
    const zone = zoneOf(view);
    say(find('interval', HTMLElement), `${span(interval, zone)}, ${zone}`);
    const today = this.#today();
    const range = daysIn(interval, zone);
    const bounds = { from: countedSince === null ? today : dayOf(Date.parse(countedSince), zone), to: today };
    this.#range.show(range, bounds, !('period' in view.interval));
    this.#showSteps(view, range, bounds);
    const isAllTime = 'period' in view.interval && view.interval.period === 'ALL_TIME';
    find('compare-field', HTMLElement).hidden = isAllTime;
    const days = (Date.parse(interval.end) - Date.parse(interval.start)) / 86_400_000;
    const links = granularitiesOf(days).map((name) => {
      const label = `${name[0]}${name.slice(1).toLowerCase()}`;
      const href = addressOf({ ...view, granularity: name });
      return make('a', name === granularity ? { href, 'aria-current': 'true' } : { href }, label);
    });
    this.#replace(this.#granularities, links);
  }

  /**
   * @param {View} view
   * @param {import('./steps.js').Days} range that is shown
   * @param {import('./steps.js').Days} bounds of what can be
   */
  #showSteps(view, range, bounds) {
    const isAllTime = 'period' in view.interval && view.interval.period === 'ALL_TIME';
    const [earlier, later] = [stepped(range, -1), stepped(range, 1)];
    const show = (/** @type {HTMLAnchorElement} */ link, /** @type {string} */ name, /** @type {import('./steps.js').Days} */ days, /** @type {boolean} */ isThere) => {
      const href = addressOf({ ...view, interval: intervalOf(days, bounds.to), granularity: null });
      mark(link, 'href', isThere ? href : null);
      mark(link, 'aria-disabled', isThere ? null : 'true');
      const text = isThere ? `${name}: ${dayRange(days.from, days.to)}` : name;
      mark(link, 'aria-label', text);
      mark(link, 'title', text);
    };
    show(this.#steps.earlier, 'Earlier', earlier, !isAllTime && earlier.to >= bounds.from);
    show(this.#steps.later, 'Later', later, !isAllTime && later.from <= bounds.to);
  }

  /**
   * New links for old ones; the focus stays where it was.
   * @param {HTMLElement} box
   * @param {HTMLElement[]} children
   */
  #replace(box, children) {
    const focused = [...box.children].findIndex((child) => child === document.activeElement);
    box.replaceChildren(...children);
    children[focused]?.focus({ preventScroll: true });
  }
}
