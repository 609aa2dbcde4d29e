// A small line chart of a share over time.

import { find, mark, say } from './dom.js';
import { alignedShare } from './format.js';

/** The units of the drawing, which is as wide as its box. */
const WIDTH = 1_000;
const HEIGHT = 100;

export class ShareLine {
  #picture = find('own-line', SVGElement);
  #path = find('own-line-path', SVGPathElement);

  /**
   * @param {(number | null)[]} shares null is a bucket without any views
   * @param {string[]} names of the buckets
   */
  show(shares, names) {
    const known = shares.flatMap((share, index) => (share === null ? [] : [{ share, name: names[index] ?? '' }]));
    const most = known.reduce((best, one) => (one.share > best.share ? one : best), { share: 0, name: '' });
    const last = known.at(-1);
    mark(this.#path, 'd', pathOf(shares, most.share));
    say(find('own-line-most', HTMLElement), alignedShare(most.share));
    say(find('own-line-from', HTMLElement), names[0] ?? '');
    say(find('own-line-to', HTMLElement), names.at(-1) ?? '');
    const text = last ? `At most ${alignedShare(most.share)}, ${most.name}; last ${alignedShare(last.share)}, ${last.name}` : 'No views of the site';
    mark(this.#picture, 'aria-label', text);
  }
}

/**
 * A step for each bucket, as the bars above it; with gaps where there is nothing.
 * @param {(number | null)[]} shares
 * @param {number} most
 */
function pathOf(shares, most) {
  const step = WIDTH / Math.max(1, shares.length);
  let [path, isOn] = ['', false];
  shares.forEach((share, index) => {
    if (share !== null) {
      const height = most > 0 ? HEIGHT - (share / most) * HEIGHT : HEIGHT;
      path += `${isOn ? 'L' : 'M'}${(index * step).toFixed(1)} ${height.toFixed(1)}H${((index + 1) * step).toFixed(1)}`;
    }
    isOn = share !== null;
  });
  return path;
}
