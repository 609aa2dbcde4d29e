// The series as bars. What may still grow is hatched, and so is the room above it: nothing there is "not yet", not zero.
// What the interval cuts is hatched the other way round: a part of a week is not a week with few views.

import { find, make, say } from './dom.js';
import { bucket, date, number, shortNumber } from './format.js';
import { momentOf } from './time.js';

/** @typedef {import('./schema.js').ReportData['report']['series'][number]} Point */
/** @typedef {import('./schema.js').Granularity} Granularity */

const LABEL_PX = 64;
const BAR_PX_MAX = 56;
const HEIGHT_PX = 400;
const HEIGHT_NARROW_PX = 220;
const NARROW_PX = 560;

export class Chart {
  #box = find('chart', HTMLElement);
  #tip = find('chart-tip', HTMLElement);
  #said = find('chart-said', HTMLElement);
  #note = find('chart-note', HTMLElement);
  #cutNote = find('chart-cut', HTMLElement);
  #cutUnit = find('chart-cut-unit', HTMLElement);
  #rows = find('series-rows', HTMLTableSectionElement);
  /** @type {uPlot | null} */
  #plot = null;
  /** @type {Point[]} */
  #points = [];
  /** @type {Granularity} */
  #granularity = 'DAY';
  #chosen = -1;

  constructor() {
    new ResizeObserver(() => this.#fit()).observe(this.#box);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
    this.#box.addEventListener('keydown', (event) => this.#step(event));
    this.#box.addEventListener('blur', () => this.#choose(-1));
  }

  /**
   * @param {Point[]} points
   * @param {Granularity} granularity
   */
  show(points, granularity) {
    const isAlike = points.length === this.#points.length && granularity === this.#granularity;
    [this.#points, this.#granularity] = [points, granularity];
    if (this.#plot && isAlike) this.#plot.setData(this.#data());
    else this.#draw();
    this.#describe();
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const bars = (/** @type {(point: Point) => boolean} */ are) =>
      this.#points.map((point) => (are(point) && point.views > 0 ? point.views : null));
    return [
      this.#points.map((_, index) => index),
      bars(({ complete, whole }) => complete && whole),
      bars(({ complete }) => !complete),
      bars(({ complete, whole }) => complete && !whole),
    ];
  }

  #size() {
    const width = Math.max(1, this.#box.clientWidth);
    return { width, height: width < NARROW_PX ? HEIGHT_NARROW_PX : HEIGHT_PX };
  }

  #fit() {
    const { width, height } = this.#size();
    if (this.#plot && (this.#plot.width !== width || this.#plot.height !== height)) this.#plot.setSize({ width, height });
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#points.length === 0) return;
    const colour = colours();
    const [hatching, cutHatching] = [hatched(colour.accent), hatched(colour.accent, true)];
    const paths = uPlot.paths.bars?.({ size: [0.76, BAR_PX_MAX * devicePixelRatio], radius: [0.12, 0] });
    /** @type {uPlot.Axis} */
    const axis = { stroke: colour.quiet, font: `12px ${colour.font}`, grid: { show: false }, ticks: { show: false } };
    this.#plot = new uPlot(
      {
        ...this.#size(),
        padding: [12, 16, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
        scales: {
          x: { time: false, range: () => [-0.5, this.#points.length - 0.5] },
          // Whole numbers only, and some height even where there is nothing.
          y: { range: (_, __, max) => [0, Math.max(4, (max ?? 0) * 1.06)] },
        },
        axes: [
          {
            ...axis,
            size: 30,
            splits: (plot) => this.#labelled(plot.width),
            values: (_, indexes) => indexes.map((index) => this.#label(index)),
          },
          {
            ...axis,
            size: 48,
            space: 44,
            incrs: [1, 2, 5].flatMap((one) => Array.from({ length: 15 }, (_, power) => one * 10 ** power)).sort((a, b) => a - b),
            grid: { stroke: colour.line, width: 1 },
            values: (_, values) => values.map(shortNumber),
          },
        ],
        series: [
          {},
          { fill: colour.accent, width: 0, paths, points: { show: false } },
          { fill: () => hatching, stroke: colour.accent, width: 1.5, paths, points: { show: false } },
          { fill: () => cutHatching, stroke: colour.accent, width: 1.5, paths, points: { show: false } },
        ],
        hooks: { drawClear: [(plot) => this.#shade(plot, hatched(colour.line))], setCursor: [(plot) => this.#point(plot)] },
      },
      this.#data(),
      this.#box,
    );
    this.#plot.root.setAttribute('aria-hidden', 'true');
  }

  /**
   * Behind each bucket that more may come into.
   * @param {uPlot} plot
   * @param {CanvasPattern | string} hatching
   */
  #shade(plot, hatching) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = hatching;
    this.#points.forEach((point, index) => {
      if (point.complete) return;
      const left = plot.valToPos(index - 0.5, 'x', true);
      ctx.fillRect(left, bbox.top, plot.valToPos(index + 0.5, 'x', true) - left, bbox.height);
    });
    ctx.restore();
  }

  /**
   * The buckets that have a label: as many as there is room for, at round times.
   * @param {number} width
   */
  #labelled(width) {
    const { length } = this.#points;
    const least = Math.max(1, Math.ceil((length * LABEL_PX) / width));
    const steps = { HOUR: [1, 2, 3, 6, 12, 24, 48, 72, 168], DAY: [1, 2, 7], WEEK: [1, 2], MONTH: [1, 3, 6, 12, 24, 60, 120] }[this.#granularity];
    const step = steps.find((each) => each >= least) ?? least;
    const first = this.#points.findIndex((point) => {
      const { hour, month } = clockAndCalendar(point);
      if (this.#granularity === 'HOUR') return hour % step === 0;
      return this.#granularity !== 'MONTH' || (month - 1) % step === 0;
    });
    const from = Math.max(0, first);
    return Array.from({ length: Math.ceil((length - from) / step) }, (_, index) => from + index * step);
  }

  /** @param {number} index */
  #label(index) {
    const point = this.#points[index];
    if (!point) return '';
    const { hour, month } = clockAndCalendar(point);
    /** @type {Intl.DateTimeFormatOptions} */
    let form = { day: 'numeric', month: 'short' };
    if (this.#granularity === 'HOUR' && hour !== 0) form = { hour: '2-digit', minute: '2-digit' };
    if (this.#granularity === 'MONTH') form = month === 1 ? { year: 'numeric' } : { month: 'short' };
    return date(momentOf(point.localStart), 'UTC', form);
  }

  /** @param {Point} point */
  #sentence(point) {
    const views = `${number(point.views)} ${point.views === 1 ? 'view' : 'views'}`;
    const remarks = [];
    if (!point.complete) remarks.push(Date.parse(point.start) > Date.now() ? 'not yet' : 'still counting');
    if (!point.whole) remarks.push(`only a part of the ${this.#unit()}`);
    return { when: bucket(point.localStart, this.#granularity), views, remarks, rest: remarks.map((remark) => `, ${remark}`).join('') };
  }

  #unit() {
    return this.#granularity.toLowerCase();
  }

  #describe() {
    const most = this.#points.reduce((best, point) => (best && best.views >= point.views ? best : point), this.#points[0]);
    const peak = most && most.views > 0 ? `, most of them ${bucket(most.localStart, this.#granularity)}: ${number(most.views)}` : '';
    const unit = this.#unit();
    // The interval has two ends.
    const ends = [this.#points[0]?.whole === false ? 'the first' : '', this.#points.length > 1 && this.#points.at(-1)?.whole === false ? 'the last' : ''];
    const cut = ends.filter(Boolean).join(' and ');
    const part = cut ? `, ${cut} only a part of the ${unit}` : '';
    this.#box.setAttribute('aria-label', `Views by ${unit}, ${this.#points.length} bars${peak}${part}. Arrow keys read them out.`);
    this.#note.hidden = this.#points.every(({ complete }) => complete);
    this.#cutNote.hidden = this.#points.every(({ complete, whole }) => whole || !complete);
    say(this.#cutUnit, unit);
    this.#rows.replaceChildren(
      ...this.#points.map((point) => {
        const { when, remarks } = this.#sentence(point);
        return make('tr', {}, make('th', { scope: 'row' }, when), make('td', {}, number(point.views)), make('td', {}, remarks.join(', ')));
      }),
    );
  }

  /** @param {uPlot} plot */
  #point(plot) {
    const index = plot.cursor.idx;
    const point = index === null || index === undefined ? undefined : this.#points[index];
    const left = plot.cursor.left ?? -1;
    this.#tip.hidden = !point || left < 0;
    if (!point || index === null || index === undefined || left < 0) return;
    const { when, views, rest } = this.#sentence(point);
    this.#tip.replaceChildren(make('b', {}, views), `${when}${rest}`);
    const centre = plot.valToPos(index, 'x') + plot.over.offsetLeft;
    const half = this.#tip.offsetWidth / 2;
    const x = Math.min(Math.max(centre, half), this.#box.clientWidth - half);
    this.#tip.style.transform = `translateX(${Math.round(x - half)}px)`;
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const last = this.#points.length - 1;
    /** @type {Record<string, number>} */
    const goals = { ArrowLeft: this.#chosen < 0 ? last : this.#chosen - 1, ArrowRight: this.#chosen + 1, Home: 0, End: last, Escape: -1 };
    const goal = goals[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    this.#choose(event.key === 'Escape' ? -1 : Math.min(Math.max(goal, 0), last));
  }

  /** @param {number} index -1 is none */
  #choose(index) {
    this.#chosen = index;
    const point = this.#points[index];
    if (!this.#plot) return;
    this.#plot.setCursor(point ? { left: this.#plot.valToPos(index, 'x'), top: 0 } : { left: -10, top: -10 });
    const sentence = point && this.#sentence(point);
    say(this.#said, sentence ? `${sentence.when}: ${sentence.views}${sentence.rest}` : '');
  }
}

/**
 * The hour and the month that the server calls a bucket by.
 * @param {Point} point
 */
function clockAndCalendar({ localStart }) {
  return { hour: Number(localStart.slice(11, 13)), month: Number(localStart.slice(5, 7)) };
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return { accent: value('--accent'), quiet: value('--quiet'), line: value('--line'), font: getComputedStyle(document.body).fontFamily };
}

/**
 * @param {string} colour
 * @param {boolean} isFalling from left to right; else it rises
 * @returns {CanvasPattern | string}
 */
function hatched(colour, isFalling = false) {
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
