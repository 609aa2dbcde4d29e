// How the views of a page or section have changed, in words, an arrow and figures, and not by colour alone.

import { make, mark, say } from './dom.js';
import { alignedShare, number } from './format.js';

/** From here on a percentage has no digit behind the point. */
const WHOLE_PERCENT = 10;

/** What is known of the change. @typedef {{ views: number, comparableViews: number | null, previous: number | null, change: number | null }} Compared */

/**
 * @param {Compared} compared
 * @returns {{ direction: 'up' | 'down' | 'none', difference: string, words: string, whole: string } | null} null if there is nothing to compare with
 */
export function changeOf({ views, comparableViews, previous, change }) {
  if (comparableViews === null || previous === null) return null;
  const difference = comparableViews - previous;
  const whole = `${number(comparableViews)} against ${number(previous)}`;
  if (difference === 0) return { direction: 'none', difference: '', words: previous === 0 ? '' : 'unchanged', whole };
  const direction = difference > 0 ? 'up' : 'down';
  return { direction, difference: number(Math.abs(difference)), words: wordsOf(views, previous, change), whole };
}

/**
 * @param {number} views
 * @param {number} previous
 * @param {number | null} change
 */
function wordsOf(views, previous, change) {
  if (previous === 0 || change === null) return 'new';
  if (views === 0) return 'gone';
  const part = Math.abs(change);
  return part < WHOLE_PERCENT ? alignedShare(part) : `${number(Math.round(part * 100))}%`;
}

export function makeChange() {
  const arrow = make('span', { 'aria-hidden': 'true' });
  const direction = make('span', { class: 'unseen' });
  const difference = make('span', { class: 'difference' });
  const words = make('span', { class: 'words' });
  return { element: make('td', { class: 'change' }, make('span', {}, arrow, direction, difference), ' ', words), arrow, direction, difference, words };
}

/**
 * @param {ReturnType<typeof makeChange>} cell
 * @param {Compared} compared
 */
export function showChange({ element, arrow, direction, difference, words }, compared) {
  const change = changeOf(compared);
  mark(element, 'data-direction', change?.direction ?? 'none');
  mark(element, 'title', change?.whole ?? null);
  say(arrow, { up: '▲ ', down: '▼ ', none: '' }[change?.direction ?? 'none']);
  say(direction, { up: 'risen by ', down: 'fallen by ', none: '' }[change?.direction ?? 'none']);
  say(difference, change?.difference ?? '');
  say(words, change?.words ?? '');
}
