// What the visitor can choose. Every choice is an address: most of them are links.

import { find, make, say } from './dom.js';
import { daysIn, span } from './format.js';
import { PERIODS, granularitiesOf } from './periods.js';
import { addressOf, zoneOf } from './state.js';
import { ownZone } from './time.js';

/** @typedef {import('./state.js').View} View */

export class Controls {
  #periods = find('periods', HTMLElement);
  #custom = find('custom', HTMLDetailsElement);
  #from = find('from', HTMLInputElement);
  #to = find('to', HTMLInputElement);
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
    this.#custom.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#custom.open) return;
      this.#custom.open = false;
      this.#custom.querySelector('summary')?.focus();
    });
    document.addEventListener('click', (event) => {
      if (event.target instanceof Node && !this.#custom.contains(event.target)) this.#custom.open = false;
    });
    find('range', HTMLFormElement).addEventListener('submit', (event) => this.#chooseRange(event));
    this.#zone.addEventListener('change', () => this.#choose({ zone: this.#zone.value || null }));
  }

  /** @param {Partial<View>} change */
  #choose(change) {
    this.#go(addressOf({ ...this.#view, ...change }));
  }

  /** @param {SubmitEvent} event */
  #chooseRange(event) {
    event.preventDefault();
    const [from, to] = [this.#from.value, this.#to.value].sort();
    if (!from || !to) return;
    this.#custom.open = false;
    this.#choose({ interval: { from, to }, granularity: null });
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
    this.#custom.classList.toggle('chosen', chosen === null);
    if (!('period' in interval)) [this.#from.value, this.#to.value] = [interval.from, interval.to];
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
   * @param {import('./format.js').Interval} interval
   * @param {import('./schema.js').Granularity} granularity
   */
  showInterval(view, interval, granularity) {
    const zone = zoneOf(view);
    say(find('interval', HTMLElement), `${span(interval, zone)}, ${zone}`);
    if ('period' in view.interval && !this.#custom.open) {
      const { from, to } = daysIn(interval, zone);
      [this.#from.value, this.#to.value] = [from, to];
    }
    const days = (Date.parse(interval.end) - Date.parse(interval.start)) / 86_400_000;
    const links = granularitiesOf(days).map((name) => {
      const label = `${name[0]}${name.slice(1).toLowerCase()}`;
      const href = addressOf({ ...view, granularity: name });
      return make('a', name === granularity ? { href, 'aria-current': 'true' } : { href }, label);
    });
    this.#replace(this.#granularities, links);
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
