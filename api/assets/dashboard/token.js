// The token that a server may ask for: where it is kept, and the card that asks for it. While it is missing nothing else can
// be used, so nothing else is shown.

import { find, say } from './dom.js';

/** Where it is kept: on this device if the visitor wants that, else in this tab until it is closed. */
const TOKEN = 'token';

export const readToken = () => sessionStorage.getItem(TOKEN) ?? localStorage.getItem(TOKEN);

export class TokenCard {
  #card = find('token-card', HTMLElement);
  #input = find('token', HTMLInputElement);
  #keep = find('token-keep', HTMLInputElement);
  #wrong = find('token-wrong', HTMLElement);
  #forget = find('forget-token', HTMLButtonElement);

  /** @param {() => void} restart with the token that is kept then, or with none */
  constructor(restart) {
    // A password manager keeps a token under a name; the server's is the best there is.
    find('token-user', HTMLInputElement).value = location.host;
    find('token-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      forgetToken();
      (this.#keep.checked ? localStorage : sessionStorage).setItem(TOKEN, this.#input.value.trim());
      restart();
    });
    this.#forget.addEventListener('click', () => {
      forgetToken();
      restart();
    });
    // Forgotten in one tab is forgotten in all.
    addEventListener('storage', ({ key, oldValue, newValue }) => {
      if (key !== TOKEN || newValue !== null || oldValue === null) return;
      forgetToken();
      restart();
    });
  }

  /** @param {string} code why the report is refused */
  show(code) {
    const wasHidden = this.#card.hidden;
    this.#card.hidden = false;
    document.body.classList.add('locked');
    const tried = readToken();
    const refusal = code === 'FORBIDDEN' ? 'This token is for something else: it does not open the report.' : 'This token is not accepted. Is all of it here?';
    say(this.#wrong, tried === null ? '' : refusal);
    this.#wrong.hidden = tried === null;
    this.#input.setAttribute('aria-invalid', String(tried !== null));
    if (!wasHidden && document.activeElement === this.#input) return;
    this.#input.focus();
    this.#input.select();
  }

  hide() {
    this.#forget.hidden = readToken() === null;
    if (this.#card.hidden) return;
    this.#card.hidden = true;
    document.body.classList.remove('locked');
    this.#input.value = '';
    find('report', HTMLElement).focus();
  }
}

function forgetToken() {
  for (const storage of [sessionStorage, localStorage]) storage.removeItem(TOKEN);
}
