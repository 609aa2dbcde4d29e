// Work of which only the newest counts, such as the answer to what was typed last. Never two at a time.

/** @typedef {(isNewest: () => boolean) => Promise<void>} Work asks `isNewest` whether its result is still of use; never rejects */

export class Latest {
  #isBusy = false;
  /** @type {Work | null} */
  #next = null;
  #newest = 0;

  /**
   * Does it when the work before is done, unless something newer comes until then.
   * @param {Work} work
   */
  async run(work) {
    this.forget();
    this.#next = work;
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#next) {
      const [next, order] = [this.#next, this.#newest];
      this.#next = null;
      await next(() => order === this.#newest);
    }
    this.#isBusy = false;
  }

  /** What is under way or waits is of no use any more. */
  forget() {
    this.#next = null;
    this.#newest += 1;
  }
}
