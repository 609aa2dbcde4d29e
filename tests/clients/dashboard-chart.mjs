// The chart and its table: what is drawn, what is said of it, and that everything can be read.
//
//   node dashboard-chart.mjs URL --scenario NAME [--limit SECONDS]
//
// Each scenario begins with a server that has counted nothing. What is drawn is read from the canvas and from the texts written
// on it.
import { until } from './browser.mjs';
import { barriers, equal, open, openTable, page, record, run, shows, step } from './dashboard-page.mjs';

const DAY_MS = 86_400_000;
const WIDTHS = [360, 768, 1280, 1600];
const SCHEMES = ['light', 'dark'];
/** Part of the plot that is filled, at most by a line and at least by bars. */
const [LINE_FILL_MAX, BARS_FILL_MIN] = [0.2, 0.4];

await run('dashboard-chart.mjs', { line, spike, weekdays, tooltip, table, strip, busy, paper, 'forced-colors': forcedColors }, (scenario) =>
  (scenario === 'forced-colors' ? { forcedColors: 'active', colorScheme: 'dark' } : {}));

/** The day so many days before today in UTC. */
function day(ago) {
  return new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - ago * DAY_MS).toISOString().slice(0, 10);
}

function range(from, to) {
  return `/?from=${day(from)}&to=${day(to)}&by=DAY&zone=UTC`;
}

/**
 * Views of each of so many days at midnight, today's last.
 * @param {number} days
 * @param {(ago: number) => number} views
 */
async function recordDays(days, views) {
  await record(Array.from({ length: days }, (_, ago) => ({ page: '/a', title: 'A page', at: `${day(ago)}T00:00:00Z`, views: views(ago) })).filter((one) => one.views > 0));
}

/** Waits until the report is of all that was recorded. */
async function openDrawn(path, views) {
  await page.addInitScript(() => {
    window.written = new Set();
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
      window.written.add(text);
      return fillText.call(this, text, ...place);
    };
  });
  await open(path);
  await shows(views.toLocaleString('en-GB'));
}

function written() {
  return page.evaluate(() => [...window.written]);
}

function label() {
  return page.locator('#chart').getAttribute('aria-label');
}

/**
 * The plot's pixels: which part of it is of the accent colour, the height of that in the middle of each of so many columns, and
 * how many colours there are in its last pixels, above everything that is drawn there.
 * @param {number} columns
 */
function drawn(columns) {
  return page.evaluate((count) => {
    const canvas = document.querySelector('#chart canvas');
    const [all, over] = [canvas.getBoundingClientRect(), document.querySelector('#chart .u-over').getBoundingClientRect()];
    const scale = canvas.width / all.width;
    const [left, top, width, height] = [over.left - all.left, over.top - all.top, over.width, over.height].map((side) => Math.round(side * scale));
    const probe = document.querySelector('#chart').appendChild(document.createElement('span'));
    probe.className = 'probe';
    probe.style.setProperty('color', 'var(--accent)');
    const accent = getComputedStyle(probe).color.match(/\d+/g).slice(0, 3).map(Number);
    probe.remove();
    const { data } = canvas.getContext('2d').getImageData(left, top, width, height);
    const pixel = (x, y) => [...data.slice((y * width + x) * 4, (y * width + x) * 4 + 3)];
    const isAccent = (x, y) => pixel(x, y).every((value, index) => Math.abs(value - accent[index]) < 12);
    const heights = Array.from({ length: count }, (_, column) => {
      const x = Math.floor(((column + 0.5) * width) / count);
      return Array.from({ length: height }, (_unused, y) => y).filter((y) => isAccent(x, y)).length / height;
    });
    let filled = 0;
    for (let x = 0; x < width; x += 1) for (let y = 0; y < height; y += 1) filled += isAccent(x, y) ? 1 : 0;
    // Above the highest value.
    const lastColours = new Set(Array.from({ length: Math.floor(height * 0.03) }, (_, y) => [width - 4, width - 3, width - 2].map((x) => pixel(x, y).join())).flat());
    return { fill: filled / width / height, heights, lastColours: lastColours.size };
  }, columns);
}

/** Bars up to 119 points, from 120 on a line; both say what is not over yet. */
async function line() {
  await recordDays(200, (ago) => 100 + (ago % 7));
  const sum = (days) => Array.from({ length: days }, (_, ago) => 100 + (ago % 7)).reduce((a, b) => a + b);
  for (const [days, isLine] of [[119, false], [120, true], [200, true]]) {
    await openDrawn(range(days - 1, 0), sum(days));
    await step(`${days} days`, async () => {
      const { fill, lastColours } = await drawn(days);
      if (isLine ? fill > LINE_FILL_MAX : fill < BARS_FILL_MIN) throw new Error(`${days} points fill ${fill} of the plot`);
      equal((await label()).includes(isLine ? `${days} points` : `${days} bars`), true);
      await page.getByText('not over yet').waitFor();
      if (lastColours < 2) throw new Error('today is not hatched');
      await barriers(`${days} days`);
    });
  }
  await step('no mark where everything is over', async () => {
    await open(range(199, 1));
    await until(async () => (await label())?.includes('199 points'));
    equal(await page.getByText('not over yet').isVisible(), false);
    equal((await drawn(199)).lastColours, 1);
  });
  await step('the points by keyboard', async () => {
    await page.locator('#chart').focus();
    await page.keyboard.press('End');
    await page.getByRole('status').filter({ hasText: ': 101 views' }).waitFor();
  });
}

/** One day of 7, then two of 30, tower above all others: the others keep their height, and the numbers are written. */
async function spike() {
  const high = { 3: 60_000, 20: 25_000, 21: 9_000 };
  const views = (ago) => high[ago] ?? 50;
  await recordDays(30, views);
  const sum = (days) => Array.from({ length: days }, (_, ago) => views(ago)).reduce((a, b) => a + b);
  for (const [days, numbers] of [[7, ['60,000']], [30, ['60,000', '25,000', '9,000']]]) {
    await openDrawn(range(days - 1, 0), sum(days));
    await step(`${days} days, cut`, async () => {
      const { heights } = await drawn(days);
      const ordinary = Math.min(...heights.slice(0, -1));
      if (ordinary < 0.5) throw new Error(`the ordinary days have ${ordinary} of the height`);
      const texts = await written();
      for (const number of numbers) equal(texts.includes(number), true);
      await page.getByText(/far above all others and drawn broken/).waitFor();
      await barriers(`${days} days, cut`);
    });
    await step(`${days} days, whole`, async () => {
      await page.getByRole('link', { name: 'Show the whole height' }).click();
      await page.getByRole('link', { name: 'Cut the height' }).waitFor();
      equal(new URL(page.url()).searchParams.get('height'), 'whole');
      await until(async () => Math.min(...(await drawn(days)).heights.slice(0, -1)) < 0.05);
    });
    await step(`${days} days, cut again`, async () => {
      await page.getByRole('link', { name: 'Cut the height' }).click();
      await until(async () => Math.min(...(await drawn(days)).heights.slice(0, -1)) > 0.5);
      equal(new URL(page.url()).searchParams.get('height'), null);
    });
  }
  await step('nothing is cut where nothing towers', async () => {
    await open(`${range(2, 0)}&compare=NONE`);
    await shows('150');
    equal(await page.locator('#chart-broken').isVisible(), false);
  });
}

/** Up to five weeks, each day has its weekday, as far as there is room. */
async function weekdays() {
  await recordDays(40, () => 10);
  const name = (ago, weekday) => new Intl.DateTimeFormat('en-GB', { weekday, timeZone: 'UTC' }).format(Date.parse(day(ago)));
  await openDrawn(range(6, 0), 70);
  await step('a week', async () => {
    const texts = await written();
    for (let ago = 0; ago < 7; ago += 1) equal(texts.includes(name(ago, 'short')), true);
  });
  await openDrawn(range(34, 0), 350);
  await step('five weeks', async () => {
    const texts = await written();
    for (let ago = 1; ago < 8; ago += 1) equal(texts.includes(name(ago, 'narrow')) || texts.includes(name(ago, 'short')), true);
  });
  await step('five weeks on a phone: at the dates', async () => {
    await page.setViewportSize({ width: 360, height: 800 });
    await openDrawn(range(34, 0), 350);
    equal((await written()).includes(name(34, 'short')), true);
  });
}

/** Whatever is pointed at, the tooltip leaves all of the plot free, and stays in the window. */
async function tooltip() {
  await recordDays(30, (ago) => (ago === 12 ? 90 : 40));
  const outside = async (what) => {
    const [tip, plot, size] = [await page.locator('#chart-tip').boundingBox(), await page.locator('#chart .u-over').boundingBox(), page.viewportSize()];
    const isOver = tip.y < plot.y + plot.height && tip.y + tip.height > plot.y;
    if (isOver) throw new Error(`the tooltip hides a part of the plot: ${what}`);
    const isSeen = tip.x >= -1 && tip.x + tip.width <= size.width + 1 && tip.y >= 0 && tip.y + tip.height <= size.height;
    if (!isSeen) throw new Error(`the tooltip is outside of the window: ${what}`);
  };
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    await openDrawn(range(29, 0), 29 * 40 + 90);
    for (const isAtTop of [false, true]) {
      if (isAtTop) await page.locator('#chart').evaluate((chart) => chart.scrollIntoView({ block: 'start' }));
      await step(`the tooltip at ${width}, ${isAtTop ? 'the chart at the upper end' : 'as the page is opened'}`, async () => {
        const plot = await page.locator('#chart .u-over').boundingBox();
        for (const column of [0, 8, 17, 29]) {
          await page.mouse.move(plot.x + ((column + 0.5) * plot.width) / 30, plot.y + 30);
          await page.locator('#chart-tip').filter({ hasText: column === 17 ? '90 views' : '40 views' }).waitFor();
          await outside(`day ${column}`);
        }
        await page.mouse.move(5, 5);
      });
    }
  }
  await step('by keyboard, and away with Escape', async () => {
    await page.locator('#chart').focus();
    await page.keyboard.press('End');
    await page.locator('#chart-tip').filter({ hasText: 'still counting' }).waitFor();
    await outside('the last day');
    await page.keyboard.press('Escape');
    await page.locator('#chart-tip').waitFor({ state: 'hidden' });
  });
}

/** The table can be read at each width, and today's row is whole. */
async function table() {
  await recordDays(60, () => 12_345);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const days of [7, 30, 60]) {
      await openDrawn(range(days - 1, 0), days * 12_345);
      await step(`the table of ${days} days at ${width}`, async () => {
        await openTable();
        const gaps = await page.locator('#series-scroll thead tr').evaluate((row) => {
          const texts = [...row.cells].filter((cell) => cell.checkVisibility()).map((cell) => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return range.getBoundingClientRect();
          });
          return texts.slice(1).map(({ left }, index) => left - texts[index].right);
        });
        if (Math.min(...gaps) < 9.5) throw new Error(`the heads have gaps of ${gaps.join(' and ')} pixels`);
        const hidden = await page.locator('#series-rows tr').last().evaluate((row) => row.getBoundingClientRect().bottom - document.querySelector('#series-scroll').getBoundingClientRect().bottom);
        if (hidden > 1) throw new Error(`${hidden} pixels of today's row are cut`);
        // All of a month is shown at once.
        if (days <= 31) equal(await page.locator('#series-scroll').evaluate((box) => box.scrollHeight - box.clientHeight), 0);
        equal(await page.locator('#series-rows tr').last().locator('td').last().innerText(), 'still counting');
        equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      });
    }
    await barriers(`table at ${width}`);
  }
}

/** "Custom…" is never alone in a line, and a row of periods that goes on says so. */
async function strip() {
  await recordDays(1, () => 1);
  for (const width of [320, 360, 480, 600, 700, 768, 820, 900, 1024, 1280, 1600]) {
    await page.setViewportSize({ width, height: 900 });
    await open('/');
    await shows('1');
    await step(`the periods at ${width}`, async () => {
      const middle = async (locator) => locator.evaluate((element) => { const { top, height } = element.getBoundingClientRect(); return Math.round(top + height / 2); });
      equal(Math.abs((await middle(page.locator('#custom summary'))) - (await middle(page.locator('#periods a').first()))) <= 2, true);
      const { goesOn, isFaded } = await page.locator('#periods').evaluate((row) => ({
        goesOn: row.scrollWidth > row.clientWidth + 1,
        isFaded: getComputedStyle(row).maskImage !== 'none',
      }));
      equal(goesOn, isFaded);
      if (width === 360) equal(goesOn, true);
      // Nothing else stands alone in a line where two have room.
      for (const [one, other] of width > 640 ? [['#filter', '.zone'], ['#granularities', '#series-csv']] : []) {
        equal(Math.abs((await middle(page.locator(one))) - (await middle(page.locator(other)))) <= 4, true);
      }
      equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    });
  }
  await step('the whole row at its ends', async () => {
    await page.setViewportSize({ width: 360, height: 900 });
    const row = page.locator('#periods');
    await row.evaluate((element) => element.scrollTo(element.scrollWidth, 0));
    await until(() => row.evaluate((element) => element.classList.contains('more-before') && !element.classList.contains('more-after')));
    await page.getByRole('link', { name: 'All time' }).click();
    await until(async () => new URL(page.url()).searchParams.get('period') === 'ALL_TIME');
  });
}

/** While the next view is asked for, everything can be read and it is said. */
async function busy() {
  await recordDays(3, () => 5);
  let holds = false;
  await page.routeWebSocket(/graphql/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => { if (!holds) socket.send(message); });
  });
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      holds = false;
      await page.setViewportSize({ width, height: 900 });
      await open('/?zone=UTC');
      await shows('15');
      holds = true;
      await step(`waiting at ${width}, ${colorScheme}`, async () => {
        await page.getByRole('link', { name: 'Yesterday' }).click();
        await page.getByText('Loading…').waitFor();
        equal(await page.locator('#report').evaluate((report) => getComputedStyle(report).opacity), '1');
        await barriers(`waiting ${width} ${colorScheme}`);
      });
    }
  }
}

/** Waits until so many bars are drawn. What they look like may have changed just now: they are drawn again in the next frame. */
async function bars(columns) {
  await until(async () => Math.min(...(await drawn(columns)).heights.slice(0, -1)) >= 0.5);
}

/** On paper: what is shown, in light colours, with its bars, and nothing that could be clicked. */
async function paper() {
  await recordDays(7, () => 50);
  await page.emulateMedia({ colorScheme: 'dark' });
  await openDrawn(range(6, 0), 350);
  for (const width of [360, 700]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
    await step(`on paper, ${width} wide`, async () => {
      await until(async () => (await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--accent').trim())) === '#3446c8');
      await bars(7);
      equal(await page.locator('.bar').first().evaluate((bar) => getComputedStyle(bar).printColorAdjust), 'exact');
      for (const hidden of ['#freshness', 'button', '#compare', '.controls form', '#periods', '#zone', 'footer', '#chart-tip']) equal(await page.locator(hidden).first().isVisible(), false);
      await page.getByText(/as of /).waitFor();
      equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    });
    await page.emulateMedia({ colorScheme: 'dark', media: 'screen' });
  }
  await step('dark again on the screen', async () => {
    await until(async () => (await drawn(7)).heights[0] > 0.5);
    equal(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()), '#93a1ff');
  });
}

/** In colours of the visitor's own, bars are drawn in one of them, and what is chosen is seen. */
async function forcedColors() {
  await recordDays(7, () => 50);
  await openDrawn(range(6, 0), 350);
  await step('bars in forced colours', async () => {
    await bars(7);
    equal(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()), 'LinkText');
    equal((await page.locator('.bar').first().evaluate((bar) => getComputedStyle(bar).backgroundImage)).includes('gradient'), true);
    const back = (name) => page.getByRole('link', { name, exact: true }).evaluate((link) => getComputedStyle(link).backgroundColor);
    equal((await back('Day')) === (await back('Week')), false);
  });
}
