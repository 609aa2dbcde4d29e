// Keys for what is done every day, and the sheet that lists them. They are for this page alone and without Ctrl, Alt or Cmd; in
// fields they type.

import { find, make } from './dom.js';

/** @typedef {{ key: string, name: string, run: () => void }} Key */

/** Set where the visitor wants none of them. */
const OFF = 'keys-off';
/** How keys are written on the sheet. */
const SHOWN = new Map([['ArrowLeft', '←'], ['ArrowRight', '→']]);

export class Keys {
  #sheet = find('keys', HTMLDialogElement);
  #isOn = find('keys-on', HTMLInputElement);
  #keys;

  /** @param {Key[]} keys */
  constructor(keys) {
    this.#keys = new Map(keys.map((key) => [key.key, key]));
    find('keys-list', HTMLElement).append(
      ...keys.map(({ key, name }) => make('div', {}, make('dt', {}, make('kbd', {}, SHOWN.get(key) ?? key.toUpperCase())), make('dd', {}, name))),
    );
    this.#isOn.checked = localStorage.getItem(OFF) === null;
    this.#isOn.addEventListener('change', () => {
      if (this.#isOn.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, 'true');
    });
    find('keys-open', HTMLButtonElement).addEventListener('click', () => this.#open());
    find('keys-close', HTMLButtonElement).addEventListener('click', () => this.#sheet.close());
    // A click beside the sheet is one on what is behind it.
    this.#sheet.addEventListener('click', ({ target }) => target === this.#sheet && this.#sheet.close());
    document.addEventListener('keydown', (event) => this.#press(event));
  }

  #open() {
    if (!this.#sheet.open) this.#sheet.showModal();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (!this.#isOn.checked || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.body.classList.contains('locked') || isField(event.target)) return;
    if (event.key === '?') {
      event.preventDefault();
      if (this.#sheet.open) this.#sheet.close();
      else this.#open();
      return;
    }
    const key = this.#keys.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!key || this.#sheet.open || event.shiftKey || event.repeat) return;
    event.preventDefault();
    key.run();
  }
}

/**
 * Whether keys are for what has the focus: a field, or what is scrolled.
 * @param {EventTarget | null} target
 */
function isField(target) {
  return target instanceof Element && target.closest('input:not([type="checkbox"]), select, textarea, [contenteditable], .scroll') !== null;
}
