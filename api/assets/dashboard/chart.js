// The series: bars, or a line where bars would be a solid mass. What may still grow is hatched or dashed, and so is the room
// around it: nothing there is "not yet", not zero. What the interval cuts is hatched the other way round, or dotted: a part of
// a week is not a week with few views.

import { labels } from './axis.js';
import { find, make, say } from './dom.js';
import { bucket, number, shortNumber } from './format.js';
import { cutAt, wholeHeight } from './height.js';
import { breakOff, coloursOf, hatched } from './paint.js';
import { SeriesTable } from './series-table.js';
import { addressOf } from './state.js';

/** @typedef {import('./schema.js').ReportData['report']['series'][number]} Point */
/** @typedef {import('./schema.js').Granularity} Granularity */
/** @typedef {import('./state.js').View} View */

/** From so many on, a line. */
const LINE_POINTS_MIN = 120;
const BAR_PART = 0.76;
const BAR_PX_MAX = 56;
const AXIS_PX = 48;
const HEIGHT_PX = 400;
const HEIGHT_NARROW_PX = 240;
const NARROW_PX = 560;
/** Above the chart; with room for the numbers of what is cut. */
const TOP_PX = 12;
const TOP_BROKEN_PX = 26;
/** What is not over yet is marked so broadly at least. */
const SHADE_PX_MIN = 6;

export class Chart {
  #box = find('chart', HTMLElement);
  #tip = find('chart-tip', HTMLElement);
  #said = find('chart-said', HTMLElement);
  #table = new SeriesTable();
  /** @type {uPlot | null} */
  #plot = null;
  /** @type {Point[]} */
  #points = [];
  /** @type {Granularity} */
  #granularity = 'DAY';
  /** Where the chart is cut; null where it is not. */
  #cut = /** @type {number | null} */ (null);
  #chosen = -1;

  constructor() {
    new ResizeObserver(() => this.#fit()).observe(this.#box);
    for (const media of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(media).addEventListener('change', () => this.#draw());
    }
    whenPrinted(() => this.#draw());
    this.#box.addEventListener('keydown', (event) => this.#step(event));
    this.#box.addEventListener('blur', () => this.#choose(-1));
  }

  /**
   * @param {Point[]} points
   * @param {Granularity} granularity
   * @param {View} view
   */
  show(points, granularity, view) {
    const shape = () => JSON.stringify([this.#points.length, this.#granularity, this.#cut === null]);
    const before = shape();
    [this.#points, this.#granularity] = [points, granularity];
    const cut = cutAt(points.map(({ views }) => views));
    this.#cut = view.height === 'whole' ? null : cut;
    if (this.#plot && shape() === before) this.#plot.setData(this.#data());
    else this.#draw();
    this.#describe();
    this.#tellHeight(cut, view);
  }

  get #isLine() {
    return this.#points.length >= LINE_POINTS_MIN;
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const points = this.#points;
    const top = this.#cut ?? Infinity;
    const pick = (/** @type {(point: Point, index: number) => boolean} */ are) =>
      points.map((point, index) => (are(point, index) ? Math.min(point.views, top) : null));
    const indexes = points.map((_, index) => index);
    if (!this.#isLine) {
      return [
        indexes,
        pick(({ complete, whole, views }) => views > 0 && complete && whole),
        pick(({ complete, views }) => views > 0 && !complete),
        pick(({ complete, whole, views }) => views > 0 && complete && !whole),
      ];
    }
    const [isOver, isCut] = [points.map(({ complete }) => complete), points.map(({ complete, whole }) => complete && !whole)];
    const hasBegun = (/** @type {Point} */ { start }) => Date.parse(start) <= Date.now();
    // A line to what is not over, or cut, begins or ends at a point that is neither.
    return [
      indexes,
      pick((_, index) => isOver[index] === true && !isCut[index]),
      pick((point, index) => hasBegun(point) && (!isOver[index] || isOver[index + 1] === false)),
      pick((_, index) => isOver[index] === true && (isCut[index] === true || isCut[index - 1] === true || isCut[index + 1] === true)),
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
    const colour = coloursOf(this.#box);
    /** @type {uPlot.Axis} */
    const axis = { stroke: colour.quiet, font: `12px ${colour.font}`, grid: { show: false }, ticks: { show: false } };
    this.#plot = new uPlot(
      {
        ...this.#size(),
        padding: [this.#cut === null ? TOP_PX : TOP_BROKEN_PX, 16, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: this.#isLine, size: 8, fill: () => colour.accent }, drag: { x: false, y: false, setScale: false } },
        scales: {
          x: { time: false, range: () => [-0.5, this.#points.length - 0.5] },
          y: { range: () => [0, this.#cut ?? wholeHeight(this.#points.map(({ views }) => views))] },
        },
        axes: [
          {
            ...axis,
            size: (_, values) => (values?.some((text) => text.includes('\n')) ? 46 : 30),
            splits: () => this.#points.map((_, index) => index),
            values: ({ width }) => labels(this.#points, this.#granularity, Math.max(1, width - AXIS_PX - 16)),
          },
          {
            ...axis,
            size: AXIS_PX,
            space: 44,
            incrs: [1, 2, 5].flatMap((one) => Array.from({ length: 15 }, (_, power) => one * 10 ** power)).sort((a, b) => a - b),
            grid: { stroke: colour.line, width: 1 },
            values: (_, values) => values.map(shortNumber),
          },
        ],
        series: [{}, ...(this.#isLine ? lines(colour) : bars(colour))],
        hooks: {
          drawClear: [(plot) => this.#shade(plot, hatched(colour.line))],
          draw: [(plot) => breakOff(plot, this.#above(this.#cut), this.#barWidth(plot), colour)],
          setCursor: [(plot) => this.#point(plot)],
        },
      },
      this.#data(),
      this.#box,
    );
    this.#plot.root.setAttribute('aria-hidden', 'true');
  }

  /** @param {uPlot} plot */
  #barWidth({ bbox }) {
    return this.#isLine ? 16 : Math.min((BAR_PART * bbox.width) / devicePixelRatio / this.#points.length, BAR_PX_MAX);
  }

  /**
   * What is higher than that, the highest first; of a line only its peaks.
   * @param {number | null} cut
   */
  #above(cut) {
    if (cut === null) return [];
    const value = (/** @type {number} */ index) => this.#points[index]?.views ?? 0;
    return this.#points
      .flatMap(({ views }, index) => (views > cut ? [{ index, value: views }] : []))
      .filter(({ index, value: views }) => !this.#isLine || (views >= value(index - 1) && views > value(index + 1)))
      .sort((a, b) => b.value - a.value);
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
      const right = plot.valToPos(index + 0.5, 'x', true);
      const left = Math.min(plot.valToPos(index - 0.5, 'x', true), right - SHADE_PX_MIN * devicePixelRatio);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    });
    ctx.restore();
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
    const points = this.#points;
    const most = points.reduce((best, point) => (best && best.views >= point.views ? best : point), points[0]);
    const peak = most && most.views > 0 ? `, most of them ${bucket(most.localStart, this.#granularity)}: ${number(most.views)}` : '';
    const unit = this.#unit();
    // The interval has two ends.
    const ends = [points[0]?.whole === false ? 'the first' : '', points.length > 1 && points.at(-1)?.whole === false ? 'the last' : ''];
    const cut = ends.filter(Boolean).join(' and ');
    const part = cut ? `, ${cut} only a part of the ${unit}` : '';
    const what = this.#isLine ? 'points' : 'bars';
    this.#box.setAttribute('aria-label', `Views by ${unit}, ${points.length} ${what}${peak}${part}. Arrow keys read them out.`);
    const notes = [find('chart-note', HTMLElement), find('chart-cut', HTMLElement)];
    for (const note of notes) note.classList.toggle('line', this.#isLine);
    notes[0]?.toggleAttribute('hidden', points.every(({ complete }) => complete));
    notes[1]?.toggleAttribute('hidden', points.every(({ complete, whole }) => whole || !complete));
    say(find('chart-cut-unit', HTMLElement), unit);
    this.#table.show(points.map((point) => {
      const { when, remarks } = this.#sentence(point);
      return [when, number(point.views), remarks.join(', ')];
    }));
  }

  /**
   * @param {number | null} cut where the chart is cut, or could be
   * @param {View} view
   */
  #tellHeight(cut, view) {
    const count = this.#above(cut).length;
    find('chart-broken', HTMLElement).hidden = count === 0;
    const isWhole = view.height === 'whole';
    const what = this.#isLine ? ['peak is', 'peaks are'] : ['bar is', 'bars are'];
    const which = count === 1 ? `One ${what[0]}` : `${count} ${what[1]}`;
    say(find('chart-broken-text', HTMLElement), `${which} far above all others${isWhole ? '.' : ' and drawn broken.'}`);
    const link = find('chart-height', HTMLAnchorElement);
    link.href = addressOf({ ...view, height: isWhole ? null : 'whole' });
    say(link, isWhole ? 'Cut the height' : 'Show the whole height');
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
    // Above the chart, so that nothing drawn is hidden; below it where the window ends.
    const isBelow = this.#box.getBoundingClientRect().top < this.#tip.offsetHeight;
    this.#tip.classList.toggle('below', isBelow);
    this.#tip.style.transform = `translateX(${Math.round(x - half)}px)`;
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const last = this.#points.length - 1;
    /** @type {Record<string, number>} */
    const goals = { ArrowLeft: this.#chosen < 0 ? last : this.#chosen - 1, ArrowRight: this.#chosen + 1, Home: 0, End: last, Escape: -1 };
    const goal = goals[event.key];
    if (goal === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
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
 * What is over, what is not, and what is cut by the interval.
 * @param {import('./paint.js').Colours} colour
 * @returns {uPlot.Series[]}
 */
function bars({ accent }) {
  const paths = uPlot.paths.bars?.({ size: [BAR_PART, BAR_PX_MAX * devicePixelRatio], radius: [0.12, 0] });
  const [hatching, cutHatching] = [hatched(accent), hatched(accent, true)];
  return [
    { fill: accent, width: 0, paths, points: { show: false } },
    { fill: () => hatching, stroke: accent, width: 1.5, paths, points: { show: false } },
    { fill: () => cutHatching, stroke: accent, width: 1.5, paths, points: { show: false } },
  ];
}

/**
 * The same as lines.
 * @param {import('./paint.js').Colours} colour
 * @returns {uPlot.Series[]}
 */
function lines({ accent, tint }) {
  const line = { stroke: accent, width: 1.5, points: { show: false } };
  return [
    { ...line, fill: tint },
    { ...line, dash: [4, 3] },
    { ...line, dash: [1.5, 3] },
  ];
}

/**
 * Calls when the page is put on paper, and when it is back on the screen: paper is light, whatever the scheme is.
 * @param {() => void} call
 */
function whenPrinted(call) {
  const paper = (/** @type {boolean} */ isPaper) => {
    document.documentElement.classList.toggle('paper', isPaper);
    call();
  };
  addEventListener('beforeprint', () => paper(true));
  addEventListener('afterprint', () => paper(false));
  matchMedia('print').addEventListener('change', ({ matches }) => paper(matches));
}
