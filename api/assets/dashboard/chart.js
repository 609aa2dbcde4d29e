// The series: bars, or a line where bars would be a solid mass. What may still grow is hatched or dashed, and so is the room
// around it: nothing there is "not yet", not zero. What the interval cuts is hatched the other way round, or dotted: a part of
// a week is not a week with few views.

import { labels } from './axis.js';
import { labelOf, whenBefore } from './compare.js';
import { find, make, say } from './dom.js';
import { bucket, counted, daysIn, number, shortNumber, span } from './format.js';
import { cutAt, wholeHeight } from './height.js';
import { breakOff, coloursOf, hatched } from './paint.js';
import { SeriesTable } from './series-table.js';
import { addressOf, zoneOf } from './state.js';
import { addDays, dayPart } from './time.js';

/** @typedef {import('./schema.js').ReportData['report']} Report */
/** @typedef {Report['series'][number]} Point */
/** @typedef {{ start: string, end: string, localStart: string, views: number }} OtherPoint of the period that is compared with */
/** @typedef {import('./steps.js').Days} Days */
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
/** Up to so many points of the other period are dots on its line. */
const DOTS_MAX = 36;
/** A mouse that moves less while its button is down has clicked. */
const DRAG_PX_MIN = 5;

export class Chart {
  #box = find('chart', HTMLElement);
  #tip = find('chart-tip', HTMLElement);
  #said = find('chart-said', HTMLElement);
  #table = new SeriesTable();
  /** @type {uPlot | null} */
  #plot = null;
  /** @type {Point[]} */
  #points = [];
  /** @type {OtherPoint[]} of the period that is compared with, one for each point; or none at all */
  #others = [];
  /** @type {Granularity} */
  #granularity = 'DAY';
  /** The last day of the interval. */
  #lastDay = '';
  #before = '';
  /** Where the chart is cut; null where it is not. */
  #cut = /** @type {number | null} */ (null);
  #chosen = -1;
  /** Where a choice of several began; -1 is a choice of one. */
  #anchor = -1;
  /** What was tapped last: the first tap tells of it, the second zooms. */
  #tapped = -1;
  #zoom;

  /** @param {(range: Days) => void} zoom shows some of the days alone */
  constructor(zoom) {
    this.#zoom = zoom;
    new ResizeObserver(() => this.#fit()).observe(this.#box);
    for (const media of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(media).addEventListener('change', () => this.#draw());
    }
    whenPrinted(() => this.#draw());
    this.#box.addEventListener('keydown', (event) => this.#step(event));
    this.#box.addEventListener('blur', () => this.#choose(-1));
  }

  /**
   * @param {Report} report
   * @param {Granularity} granularity
   * @param {View} view
   */
  show({ series, previous, interval, totals }, granularity, view) {
    const shape = () => JSON.stringify([this.#points.length, this.#granularity, this.#cut === null, this.#others.length]);
    const before = shape();
    this.#points = totals.views === 0 ? [] : series;
    this.#others = (totals.views > 0 && previous?.series) || [];
    this.#granularity = granularity;
    this.#lastDay = daysIn(interval, zoneOf(view)).to;
    this.#before = whenBefore(view);
    const cut = cutAt(this.#heights());
    this.#cut = view.height === 'whole' ? null : cut;
    if (this.#plot && shape() === before) {
      this.#plot.setData(this.#data());
      this.#point(this.#plot);
    } else {
      this.#draw();
      this.#choose(-1);
    }
    this.#tapped = -1;
    this.#describe();
    this.#tellHeight(cut, view);
    const other = find('chart-other', HTMLElement);
    other.hidden = this.#others.length === 0;
    if (previous) say(find('chart-other-text', HTMLElement), `${labelOf(view)}: ${span(previous.interval, zoneOf(view))}`);
  }

  get #isLine() {
    return this.#points.length >= LINE_POINTS_MIN;
  }

  #heights() {
    return [...this.#points, ...this.#others].map(({ views }) => views);
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const others = this.#others.map(({ start, end, views }) => (start === end ? null : Math.min(views, this.#cut ?? Infinity)));
    return [...this.#own(), others, others];
  }

  /** @returns {[number[], ...(number | null)[][]]} */
  #own() {
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
        cursor: { y: false, points: { show: this.#isLine, size: 8, fill: () => colour.accent }, drag: { x: true, y: false, setScale: false, dist: DRAG_PX_MIN } },
        scales: {
          x: { time: false, range: () => [-0.5, this.#points.length - 0.5] },
          y: { range: () => [0, this.#cut ?? wholeHeight(this.#heights())] },
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
        series: [{}, ...(this.#isLine ? lines(colour) : bars(colour)), ...otherLine(colour, this.#others.length <= DOTS_MAX)],
        hooks: {
          drawClear: [(plot) => this.#shade(plot, hatched(colour.line))],
          draw: [(plot) => breakOff(plot, this.#broken(), this.#barWidth(plot), colour)],
          setCursor: [(plot) => this.#point(plot)],
          setSelect: [(plot) => this.#zoomInto(plot.posToIdx(plot.select.left), plot.posToIdx(plot.select.left + plot.select.width))],
        },
      },
      this.#data(),
      this.#box,
    );
    this.#plot.root.setAttribute('aria-hidden', 'true');
    this.#listen(this.#plot.over);
  }

  /** @param {HTMLElement} over the plot */
  #listen(over) {
    let isTouch = false;
    over.classList.toggle('zooms', this.#daysOf(0, 0) !== null || this.#points.length > 1);
    over.addEventListener('pointerdown', ({ pointerType }) => (isTouch = pointerType === 'touch'));
    over.addEventListener('click', ({ offsetX }) => {
      const index = this.#plot?.posToIdx(offsetX) ?? -1;
      if (!isTouch || this.#tapped === index) this.#zoomInto(index, index);
      else this.#choose(index);
      this.#tapped = index;
    });
  }

  /**
   * The days of some buckets; null if they are all that is shown already.
   * @param {number} one
   * @param {number} other
   * @returns {Days | null}
   */
  #daysOf(one, other) {
    const [first, last] = [Math.min(one, other), Math.max(one, other)];
    const [start, end] = [this.#points[first], this.#points[last]];
    if (!start || !end) return null;
    const next = this.#points[last + 1];
    const isSmall = ['HOUR', 'DAY'].includes(this.#granularity);
    const to = isSmall ? dayPart(end.localStart) : next ? addDays(dayPart(next.localStart), -1) : this.#lastDay;
    const from = dayPart(start.localStart);
    const isAll = from === dayPart(this.#points[0]?.localStart ?? '') && to === this.#lastDay;
    return isAll && (isSmall || one !== other) ? null : { from, to };
  }

  /**
   * @param {number} one
   * @param {number} other
   */
  #zoomInto(one, other) {
    const days = this.#daysOf(one, other);
    this.#plot?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (days) this.#zoom(days);
  }

  /** @param {uPlot} plot */
  #barWidth({ bbox }) {
    return this.#isLine ? 16 : Math.min((BAR_PART * bbox.width) / devicePixelRatio / this.#points.length, BAR_PX_MAX);
  }

  /**
   * What is higher than that, the highest first: bars, and of lines their peaks.
   * @param {number | null} cut
   */
  #above(cut) {
    if (cut === null) return { own: [], others: [] };
    const own = this.#points.map(({ views }) => views);
    const others = this.#others.map(({ views }) => views);
    return { own: higher(own, cut, this.#isLine), others: higher(others, cut, true) };
  }

  /** What is drawn broken; one mark for what is at the same place. */
  #broken() {
    const { own, others } = this.#above(this.#cut);
    return [...own, ...others.filter(({ index }) => !own.some((one) => one.index === index))];
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

  /** @param {number} index */
  #sentence(index) {
    const point = /** @type {Point} */ (this.#points[index]);
    const views = `${number(point.views)} ${point.views === 1 ? 'view' : 'views'}`;
    const remarks = [];
    if (!point.complete) remarks.push(Date.parse(point.start) > Date.now() ? 'not yet' : 'still counting');
    if (!point.whole) remarks.push(`only a part of the ${this.#unit()}`);
    const other = this.#others[index];
    const isThere = other !== undefined && other.start !== other.end;
    return {
      when: bucket(point.localStart, this.#granularity),
      views,
      remarks,
      rest: remarks.map((remark) => `, ${remark}`).join(''),
      other: isThere ? { views: number(other.views), when: bucket(other.localStart, this.#granularity) } : null,
    };
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
    this.#box.setAttribute('aria-label', `Views by ${unit}, ${points.length} ${what}${peak}${part}. Arrow keys read them out, Enter shows one alone.`);
    const notes = [find('chart-note', HTMLElement), find('chart-cut', HTMLElement)];
    for (const note of notes) note.classList.toggle('line', this.#isLine);
    notes[0]?.toggleAttribute('hidden', points.every(({ complete }) => complete));
    notes[1]?.toggleAttribute('hidden', points.every(({ complete, whole }) => whole || !complete));
    say(find('chart-cut-unit', HTMLElement), unit);
    const compares = this.#others.length > 0;
    this.#table.show(
      () =>
        points.map(({ views }, index) => {
          const { when, remarks, other } = this.#sentence(index);
          /** @type {[string, string] | ''} */
          const then = other ? [other.views, other.when] : '';
          return [when, number(views), ...(compares ? [then] : []), remarks.join(', ')];
        }),
      compares ? this.#before : null,
    );
  }

  /**
   * @param {number | null} cut where the chart is cut, or could be
   * @param {View} view
   */
  #tellHeight(cut, view) {
    const { own, others } = this.#above(cut);
    find('chart-broken', HTMLElement).hidden = own.length + others.length === 0;
    const isWhole = view.height === 'whole';
    const names = [counted(own.length, this.#isLine ? 'peak' : 'bar'), `${counted(others.length, 'peak')} of the other period`];
    const which = names.filter((_, index) => [own, others][index]?.length).join(' and ');
    const rest = own.length + others.length === 1 ? 'is far above all others' : 'are far above all others';
    say(find('chart-broken-text', HTMLElement), `${which} ${rest}${isWhole ? '.' : ' and drawn broken.'}`);
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
    const { when, views, rest, other } = this.#sentence(index);
    this.#tip.replaceChildren(make('b', {}, views), `${when}${rest}`, ...(other ? [make('span', {}, `${other.views} on ${other.when}`)] : []));
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
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Enter' && this.#chosen >= 0) {
      this.#zoomInto(this.#anchor < 0 ? this.#chosen : this.#anchor, this.#chosen);
      return;
    }
    const goal = goals[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    const from = event.shiftKey && this.#chosen >= 0 ? (this.#anchor < 0 ? this.#chosen : this.#anchor) : -1;
    this.#choose(event.key === 'Escape' ? -1 : Math.min(Math.max(goal, 0), last), from);
  }

  /**
   * @param {number} index -1 is none
   * @param {number} anchor of a choice of several; -1 is a choice of one
   */
  #choose(index, anchor = -1) {
    [this.#chosen, this.#anchor] = [index, anchor];
    const plot = this.#plot;
    if (!plot) return;
    const at = (/** @type {number} */ place) => plot.valToPos(place, 'x');
    plot.setCursor(this.#points[index] ? { left: at(index), top: 0 } : { left: -10, top: -10 });
    const [first, last] = [Math.min(index, anchor), Math.max(index, anchor)];
    const left = anchor < 0 ? 0 : at(first - 0.5);
    plot.setSelect({ left, top: 0, width: anchor < 0 ? 0 : at(last + 0.5) - left, height: plot.over.clientHeight }, false);
    say(this.#said, index < 0 ? '' : anchor < 0 ? this.#told(index) : this.#toldOfSeveral(first, last));
  }

  /** @param {number} index */
  #told(index) {
    const { when, views, rest, other } = this.#sentence(index);
    return `${when}: ${views}${rest}${other ? `; ${other.views} on ${other.when}` : ''}`;
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  #toldOfSeveral(first, last) {
    const views = this.#points.slice(first, last + 1).reduce((sum, point) => sum + point.views, 0);
    return `${this.#sentence(first).when} to ${this.#sentence(last).when}: ${counted(views, 'view')}`;
  }
}

/**
 * @param {number[]} values
 * @param {number} cut
 * @param {boolean} isLine of which only the peaks count
 */
function higher(values, cut, isLine) {
  const at = (/** @type {number} */ index) => values[index] ?? 0;
  return values
    .flatMap((value, index) => (value > cut && (!isLine || (value >= at(index - 1) && value > at(index + 1))) ? [{ index, value }] : []))
    .sort((a, b) => b.value - a.value);
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
 * The period that is compared with: a thin line with a rim, so that it is seen before bars and beside them.
 * @param {import('./paint.js').Colours} colour
 * @param {boolean} hasDots
 * @returns {uPlot.Series[]}
 */
function otherLine({ card, quiet }, hasDots) {
  return [
    { stroke: card, width: 4, points: { show: hasDots, size: 8, width: 0, fill: card } },
    { stroke: quiet, width: 1.5, points: { show: hasDots, size: 5, width: 0, fill: quiet } },
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
