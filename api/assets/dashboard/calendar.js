// A month's days, to choose a range from: the first click is its one end, the second its other. By keyboard as a grid of dates
// is used everywhere: arrows by days and weeks, Home and End in a week, Page Up and Page Down by months, with Shift by years.

import { find, make, mark, say } from './dom.js';
import { dayName, monthName, weekdayName } from './format.js';
import { addMonths } from './steps.js';
import { addDays, lastOfMonth } from './time.js';
import { weekStart } from './week.js';

/** @typedef {import('./steps.js').Days} Days */

export class Calendar {
  #grid = find('calendar-days', HTMLTableSectionElement);
  #months = find('calendar-month', HTMLSelectElement);
  #earlier = find('calendar-earlier', HTMLButtonElement);
  #later = find('calendar-later', HTMLButtonElement);
  #said = find('calendar-said', HTMLElement);
  #choose;
  /** @type {Days} the first and the last day that can be chosen */
  #bounds = { from: '', to: '' };
  /** @type {Days} */
  #range = { from: '', to: '' };
  /** The first of the month that is shown. */
  #month = '';
  /** The day that the Tab key leads to. */
  #active = '';
  /** The end of a range that was chosen, while the other one is not. */
  #anchor = '';

  /** @param {(range: Days) => void} choose */
  constructor(choose) {
    this.#choose = choose;
    const names = Array.from({ length: 7 }, (_, index) => addDays(firstOfWeek('2026-01-01'), index));
    find('calendar-weekdays', HTMLTableRowElement).append(
      ...names.map((day) => make('th', { scope: 'col', abbr: weekdayName(day, 'long') }, weekdayName(day, 'short'))),
    );
    this.#months.addEventListener('change', () => this.#showMonth(this.#months.value));
    this.#earlier.addEventListener('click', () => this.#showMonth(addMonths(this.#month, -1)));
    this.#later.addEventListener('click', () => this.#showMonth(addMonths(this.#month, 1)));
    this.#grid.addEventListener('click', ({ target }) => this.#pick(dayAt(target)));
    this.#grid.addEventListener('pointerover', ({ target }) => this.#preview(dayAt(target)));
    this.#grid.addEventListener('keydown', (event) => this.#move(event));
  }

  /**
   * Shows a range, and what can be chosen.
   * @param {Days} range
   * @param {Days} bounds
   */
  show(range, bounds) {
    this.#range = range;
    this.#anchor = '';
    this.#bounds = bounds;
    const first = `${bounds.from.slice(0, 7)}-01`;
    /** @type {string[]} */
    const months = [];
    for (let month = `${bounds.to.slice(0, 7)}-01`; month >= first; month = addMonths(month, -1)) months.push(month);
    this.#months.replaceChildren(...months.map((month) => make('option', { value: month }, monthName(month))));
    this.#active = this.#clamped(range.to);
    this.#showMonth(`${this.#active.slice(0, 7)}-01`);
    say(this.#said, '');
  }

  focus() {
    this.#cell(this.#active)?.focus();
  }

  /** @param {string} day */
  #clamped(day) {
    const { from, to } = this.#bounds;
    return day < from ? from : day > to ? to : day;
  }

  /** @param {string} month */
  #showMonth(month) {
    this.#month = month;
    this.#months.value = month;
    this.#earlier.disabled = month <= this.#bounds.from;
    this.#later.disabled = addMonths(month, 1) > this.#bounds.to;
    if (!this.#active.startsWith(month.slice(0, 7))) this.#active = this.#clamped(month);
    const last = lastOfMonth(month);
    /** @type {HTMLTableRowElement[]} */
    const weeks = [];
    for (let start = firstOfWeek(month); start <= last; start = addDays(start, 7)) {
      weeks.push(make('tr', {}, ...Array.from({ length: 7 }, (_, index) => this.#makeDay(addDays(start, index)))));
    }
    this.#grid.replaceChildren(...weeks);
    this.#mark(this.#range);
  }

  /** @param {string} day */
  #makeDay(day) {
    if (!day.startsWith(this.#month.slice(0, 7))) return make('td');
    const isOut = day < this.#bounds.from || day > this.#bounds.to;
    const button = make('button', { type: 'button', 'data-day': day, 'aria-label': dayName(day) }, String(Number(day.slice(8))));
    button.disabled = isOut;
    button.tabIndex = day === this.#active ? 0 : -1;
    return make('td', {}, button);
  }

  /** @param {string} day */
  #cell(day) {
    return this.#grid.querySelector(`[data-day="${day}"]`) instanceof HTMLButtonElement
      ? /** @type {HTMLButtonElement} */ (this.#grid.querySelector(`[data-day="${day}"]`))
      : null;
  }

  /** @param {Days} range */
  #mark({ from, to }) {
    for (const button of this.#grid.querySelectorAll('button')) {
      const day = button.dataset.day ?? '';
      const isIn = day >= from && day <= to;
      mark(button, 'aria-pressed', String(isIn));
      button.classList.toggle('end', isIn && (day === from || day === to));
    }
  }

  /** @param {string} day '' is none */
  #pick(day) {
    if (day === '') return;
    this.#active = day;
    if (this.#anchor !== '') {
      this.#choose(ordered(this.#anchor, day));
      return;
    }
    this.#anchor = day;
    this.#mark({ from: day, to: day });
    say(this.#said, `From ${dayName(day)}: choose the other end`);
  }

  /** @param {string} day '' is none */
  #preview(day) {
    if (day !== '' && this.#anchor !== '') this.#mark(ordered(this.#anchor, day));
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const day = this.#active;
    const inWeek = (Date.parse(day) - Date.parse(firstOfWeek(day))) / 86_400_000;
    /** @type {Record<string, () => string>} */
    const goals = {
      ArrowLeft: () => addDays(day, -1),
      ArrowRight: () => addDays(day, 1),
      ArrowUp: () => addDays(day, -7),
      ArrowDown: () => addDays(day, 7),
      Home: () => addDays(day, -inWeek),
      End: () => addDays(day, 6 - inWeek),
      PageUp: () => sameDay(day, event.shiftKey ? -12 : -1),
      PageDown: () => sameDay(day, event.shiftKey ? 12 : 1),
    };
    const goal = goals[event.key];
    if (!goal || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.#active = this.#clamped(goal());
    this.#showMonth(`${this.#active.slice(0, 7)}-01`);
    if (this.#anchor !== '') this.#mark(ordered(this.#anchor, this.#active));
    this.focus();
  }
}

/** @param {EventTarget | null} target */
const dayAt = (target) => (target instanceof HTMLButtonElement ? target.dataset.day ?? '' : '');

/**
 * @param {string} one
 * @param {string} other
 * @returns {Days}
 */
const ordered = (one, other) => (one < other ? { from: one, to: other } : { from: other, to: one });

/** @param {string} day */
function firstOfWeek(day) {
  const weekday = new Date(Date.parse(day)).getUTCDay();
  return addDays(day, -(weekStart === 'SUNDAY' ? weekday : (weekday + 6) % 7));
}

/**
 * The same day of another month, or its last one.
 * @param {string} day
 * @param {number} months
 */
function sameDay(day, months) {
  const month = addMonths(`${day.slice(0, 7)}-01`, months);
  const same = `${month.slice(0, 7)}${day.slice(7)}`;
  return same > lastOfMonth(month) ? lastOfMonth(month) : same;
}
