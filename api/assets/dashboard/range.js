// "Custom…": any days, chosen on a calendar or typed. They lie between the first counted day and today.

import { Calendar } from './calendar.js';
import { find } from './dom.js';

/** @typedef {import('./steps.js').Days} Days */

export class RangePanel {
  #panel = find('custom', HTMLDetailsElement);
  #from = find('from', HTMLInputElement);
  #to = find('to', HTMLInputElement);
  #calendar;
  /** @type {Days | null} what is shown, once it is known */
  #shown = null;
  /** @type {Days | null} */
  #bounds = null;

  /** @param {(range: Days) => void} choose */
  constructor(choose) {
    const chosen = (/** @type {Days} */ range) => {
      this.#close();
      choose(range);
    };
    this.#calendar = new Calendar(chosen);
    this.#panel.addEventListener('toggle', () => {
      if (this.#panel.open) this.#calendar.focus();
    });
    document.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape' && this.#panel.open) this.#close();
    });
    document.addEventListener('click', ({ target }) => {
      if (target instanceof Node && target.isConnected && !this.#panel.contains(target)) this.#panel.open = false;
    });
    find('range', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      const [from, to] = [this.#from.value, this.#to.value].sort();
      if (from && to) chosen({ from, to });
    });
  }

  open() {
    this.#panel.open = true;
  }

  /** The focus goes to what opens it. */
  #close() {
    this.#panel.open = false;
    this.#panel.querySelector('summary')?.focus();
  }

  /**
   * @param {Days} range that is shown
   * @param {Days} bounds what can be chosen
   * @param {boolean} isChosen whether the range is one of days, and not a period
   */
  show(range, bounds, isChosen) {
    this.#panel.classList.toggle('chosen', isChosen);
    const isSame = JSON.stringify([this.#shown, this.#bounds]) === JSON.stringify([range, bounds]);
    // What is being chosen stays as it is.
    if (isSame) return;
    [this.#shown, this.#bounds] = [range, bounds];
    [this.#from.value, this.#to.value] = [range.from, range.to];
    for (const input of [this.#from, this.#to]) [input.min, input.max] = [bounds.from, bounds.to];
    this.#calendar.show(range, bounds);
  }
}
