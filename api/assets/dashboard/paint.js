// Colours and patterns of the chart, and the marks of what is cut.

import { number, shortNumber } from './format.js';

/** @typedef {{ accent: string, tint: string, card: string, ink: string, quiet: string, line: string, font: string }} Colours */

/**
 * The colours that the page has right now: of its scheme, of forced colours, or on paper.
 * @param {HTMLElement} within
 * @returns {Colours}
 */
export function coloursOf(within) {
  const probe = document.createElement('span');
  probe.className = 'probe';
  within.append(probe);
  const resolved = (/** @type {string} */ name) => {
    probe.style.setProperty('color', `var(${name})`);
    return getComputedStyle(probe).color;
  };
  const [accent, tint, card, ink, quiet, line] = ['--accent', '--tint', '--card', '--ink', '--quiet', '--line'].map(resolved);
  probe.remove();
  return /** @type {Colours} */ ({ accent, tint, card, ink, quiet, line, font: getComputedStyle(document.body).fontFamily });
}

/**
 * @param {string} colour
 * @param {boolean} isFalling from left to right; else it rises
 * @returns {CanvasPattern | string}
 */
export function hatched(colour, isFalling = false) {
  const side = 6 * devicePixelRatio;
  const tile = document.createElement('canvas');
  [tile.width, tile.height] = [side, side];
  const context = tile.getContext('2d');
  if (!context) return colour;
  context.strokeStyle = colour;
  context.lineWidth = 1.2 * devicePixelRatio;
  for (const shift of [-side / 2, side / 2, (3 * side) / 2]) {
    context.moveTo(shift - side / 2, isFalling ? 0 : side);
    context.lineTo(shift + side / 2, isFalling ? side : 0);
  }
  context.stroke();
  return context.createPattern(tile, 'repeat') ?? colour;
}

/**
 * Breaks what is higher than the chart, and writes its number above it.
 * @param {uPlot} plot
 * @param {{ index: number, value: number }[]} broken the highest first
 * @param {number} widthPx of what is broken
 * @param {Colours} colour
 */
export function breakOff({ ctx, bbox, valToPos }, broken, widthPx, colour) {
  const px = devicePixelRatio;
  const half = (widthPx * px) / 2 + 2 * px;
  /** @type {[number, number][]} */
  const taken = [];
  ctx.save();
  ctx.font = `600 ${12 * px}px ${colour.font}`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'bottom';
  for (const { index, value } of broken) {
    const centre = valToPos(index, 'x', true);
    const y = bbox.top + 14 * px;
    ctx.beginPath();
    for (const [x, up] of [[-half, -3], [-half / 3, 3], [half / 3, -3], [half, 3]]) ctx.lineTo(centre + (x ?? 0), y - (up ?? 0) * px);
    // A gap, as broad as it needs to be seen in a narrow bar too.
    ctx.lineWidth = 5 * px;
    ctx.strokeStyle = colour.card;
    ctx.stroke();
    for (const text of [number(value), shortNumber(value)]) {
      const halfText = ctx.measureText(text).width / 2 + 3 * px;
      // Above it, else beside a number that is there already.
      const places = [centre, ...taken.flatMap(([start, end]) => [start - halfText, end + halfText])]
        .map((x) => Math.min(Math.max(x, bbox.left + halfText), bbox.left + bbox.width - halfText))
        .filter((x) => Math.abs(x - centre) <= 2 * halfText && taken.every(([start, end]) => x + halfText <= start || x - halfText >= end));
      const [x] = places.sort((a, b) => Math.abs(a - centre) - Math.abs(b - centre));
      if (x === undefined) continue;
      taken.push([x - halfText, x + halfText]);
      ctx.fillStyle = colour.ink;
      ctx.fillText(text, x, bbox.top - 4 * px);
      break;
    }
  }
  ctx.restore();
}
