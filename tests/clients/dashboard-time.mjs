// Times and what they are compared with: earlier and later, days chosen on the calendar, in the chart and with keys, the other
// period in the chart, and everything as the browser's language writes it.
//
//   node dashboard-time.mjs URL --scenario NAME [--limit SECONDS]
//
// Each scenario begins with a server that has counted nothing.
import { until } from './browser.mjs';
import { barriers, equal, open, openTable, page, record, run, shows, step } from './dashboard-page.mjs';

const DAY_MS = 86_400_000;
const WIDTHS = [360, 768, 1280, 1600];

await run('dashboard-time.mjs', { compare, steps, zoom, touch, keys, calendar, weeks, german }, (scenario) =>
  ({ touch: { hasTouch: true, viewport: { width: 390, height: 844 } }, weeks: { locale: 'en-US' }, german: { locale: 'de-DE' } })[scenario] ?? {});

/** The day so many days before today in UTC. */
function day(ago) {
  return new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - ago * DAY_MS).toISOString().slice(0, 10);
}

/** How many days ago the same date of the year before was. */
function yearBefore(ago) {
  const date = new Date(day(ago));
  date.setUTCFullYear(date.getUTCFullYear() - 1);
  return Math.round((Date.parse(day(0)) - date) / DAY_MS);
}

async function recordDays(views) {
  const at = Object.entries(views).map(([ago, count]) => ({ page: '/a', at: `${day(Number(ago))}T00:00:00Z`, views: count }));
  await record(at);
}

/** The same number for each of some days. */
function each(first, last, views) {
  return Object.fromEntries(Array.from({ length: last - first + 1 }, (_, index) => [first + index, views]));
}

function parameter(name) {
  return new URL(page.url()).searchParams.get(name);
}

/** How many pixels of the plot have the quiet text's colour, as the line of the other period has. */
function linePixels() {
  return page.evaluate(() => {
    const canvas = document.querySelector('#chart canvas');
    const [all, over] = [canvas.getBoundingClientRect(), document.querySelector('#chart .u-over').getBoundingClientRect()];
    if (all.width === 0) return NaN;
    const scale = canvas.width / all.width;
    const area = [over.left - all.left, over.top - all.top, over.width, over.height].map((side) => Math.round(side * scale));
    const quiet = getComputedStyle(document.querySelector('.when')).color.match(/\d+/g).slice(0, 3).map(Number);
    const { data } = canvas.getContext('2d').getImageData(...area);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) if (quiet.every((value, index) => Math.abs(data[at + index] - value) < 8)) count += 1;
    return count;
  });
}

/** The other period: its sum, its line, and its numbers in the tooltip, the table and the words for screen readers. */
async function compare() {
  const [dates, weekdays] = [{}, {}];
  for (let ago = 1; ago <= 7; ago += 1) [dates[yearBefore(ago)], weekdays[ago + 364]] = [3, 3];
  await recordDays({ ...each(1, 7, 40), ...each(8, 14, 20), ...dates, ...weekdays, 364: 4, 390: 1 });
  const sumAt = (agos) => agos.reduce((sum, ago) => sum + (ago === 364 ? 4 : 3), 0);
  const agos = [1, 2, 3, 4, 5, 6, 7];
  await open(`/?from=${day(7)}&to=${day(1)}&zone=UTC`);
  await shows('280');
  await step('the period before', async () => {
    await page.getByText('against 140 in as much time before').waitFor();
    await until(async () => (await linePixels()) > 100);
    await page.locator('#chart-other').filter({ hasText: 'Period before: ' }).waitFor();
    await page.locator('#chart').focus();
    await page.keyboard.press('End');
    await page.getByRole('status').filter({ hasText: /: 40 views; 20 on / }).waitFor();
    await page.locator('#chart-tip').filter({ hasText: '20 on ' }).waitFor();
    await openTable();
    equal(await page.getByRole('columnheader', { name: 'Views in as much time before' }).isVisible(), true);
    equal((await page.locator('#series-rows tr').last().locator('td').nth(1).innerText()).startsWith('20 '), true);
  });
  const choose = (label) => page.getByLabel('Compared with').selectOption({ label });
  await step('the same dates last year', async () => {
    await choose('Same dates last year');
    await page.getByText(`against ${sumAt(agos.map(yearBefore))} on the same dates last year`).waitFor();
    equal(parameter('compare'), 'SAME_PERIOD_LAST_YEAR');
    await page.locator('#chart-other').filter({ hasText: 'Same dates last year: ' }).waitFor();
  });
  await step('the same after a reload', async () => {
    await page.reload();
    await page.getByText('on the same dates last year', { exact: false }).first().waitFor();
    equal(await page.getByLabel('Compared with').inputValue(), 'SAME_PERIOD_LAST_YEAR');
  });
  await step('the same weekdays last year', async () => {
    await choose('Same weekdays last year');
    await page.getByText('against 21 on the same weekdays last year').waitFor();
    const names = await (await openTable()).evaluateAll((rows) => rows.map(({ cells }) => [cells[0].textContent.slice(0, 3), cells[2].querySelector('small').textContent.slice(0, 3)]));
    equal(names.every(([here, there]) => here === there), true);
  });
  await step('nothing', async () => {
    await choose('Nothing');
    await page.locator('#chart-other').waitFor({ state: 'hidden' });
    await until(async () => (await linePixels()) === 0);
    equal(await page.locator('#against').textContent(), '');
    equal(await page.locator('#series-other').isVisible(), false);
    equal(parameter('compare'), 'NONE');
  });
  await step('by key, back to the first', async () => {
    await page.locator('#compare').blur();
    await page.keyboard.press('x');
    await page.getByText('against 140 in as much time before').waitFor();
    equal(parameter('compare'), null);
  });
  await step('where nothing was counted', async () => {
    await open(`/?from=${day(300)}&to=${day(1)}&zone=UTC&compare=SAME_PERIOD_LAST_YEAR`);
    await page.getByText('nothing before it to compare with').waitFor();
    equal(await page.locator('#chart-other').isVisible(), false);
  });
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await open(`/?from=${day(7)}&to=${day(1)}&zone=UTC`);
      await page.locator('#chart-other').waitFor();
      await barriers(`compared ${width} ${colorScheme}`);
      equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    }
  }
}

/** Earlier and later, with the mouse and with keys, from the first counted day to today. */
async function steps() {
  await recordDays({ ...each(0, 6, 1), ...each(7, 13, 2), 20: 5 });
  await open('/?zone=UTC');
  await shows('7');
  await step('the 7 days before', async () => {
    await page.getByRole('link', { name: /^Earlier: / }).click();
    await shows('14');
    equal([parameter('from'), parameter('to')].join(), [day(13), day(7)].join());
  });
  await step('those before, by key', async () => {
    await page.keyboard.press('ArrowLeft');
    await shows('5');
    equal(parameter('to'), day(14));
  });
  await step('nothing before the first counted day', async () => {
    equal(await page.getByRole('link', { name: 'Earlier', exact: true }).getAttribute('aria-disabled'), 'true');
    await page.keyboard.press('ArrowLeft');
    equal(parameter('to'), day(14));
    await barriers('no earlier');
  });
  await step('the way back to the period that goes on', async () => {
    await page.keyboard.press('ArrowRight');
    await shows('14');
    await page.getByRole('link', { name: /^Later: / }).click();
    await shows('7');
    equal(parameter('from'), null);
    equal(await page.getByRole('link', { name: '7 days' }).getAttribute('aria-current'), 'true');
    equal(await page.getByRole('link', { name: 'Later', exact: true }).getAttribute('aria-disabled'), 'true');
  });
  await step('a day, and a month', async () => {
    await page.getByRole('link', { name: 'Today', exact: true }).click();
    await shows('1');
    await page.keyboard.press('ArrowLeft');
    await until(async () => parameter('period') === 'YESTERDAY');
    await page.keyboard.press('m');
    await until(async () => parameter('period') === 'THIS_MONTH');
    await page.locator('#report[aria-busy="false"]').waitFor();
    const earlier = page.locator('#earlier');
    // Only if something was counted in the month before.
    if (await earlier.getAttribute('href')) {
      await page.keyboard.press('ArrowLeft');
      await until(async () => parameter('period') === 'LAST_MONTH');
    }
  });
}

/** A bucket is shown alone by a click, some by drawing over them; and the same with keys. */
async function zoom() {
  await recordDays({ ...each(0, 59, 10) });
  const thirty = `/?from=${day(30)}&to=${day(1)}&zone=UTC`;
  const open30 = async () => {
    await open(thirty);
    await shows('300');
  };
  const column = async (index) => {
    const plot = await page.locator('#chart .u-over').boundingBox();
    return [plot.x + ((index + 0.5) * plot.width) / 30, plot.y + plot.height / 2];
  };
  await open30();
  await step('one day by a click', async () => {
    await page.mouse.click(...(await column(4)));
    await shows('10');
    equal([parameter('from'), parameter('to')].join(), [day(26), day(26)].join());
    await openTable();
    await until(async () => (await page.locator('#series-rows tr').count()) >= 24);
  });
  await step('the way back', async () => {
    await page.goBack();
    await shows('300');
  });
  await step('some days by drawing over them', async () => {
    await page.mouse.move(...(await column(3)));
    await page.mouse.down();
    await page.mouse.move(...(await column(7)), { steps: 4 });
    await page.mouse.up();
    await shows('50');
    equal([parameter('from'), parameter('to')].join(), [day(27), day(23)].join());
  });
  await step('one day with keys', async () => {
    await open30();
    await page.locator('#chart').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await shows('10');
    equal(parameter('from'), day(29));
  });
  await step('some days with keys', async () => {
    await open30();
    await page.locator('#chart').focus();
    await page.keyboard.press('Home');
    for (let index = 0; index < 3; index += 1) await page.keyboard.press('Shift+ArrowRight');
    await page.getByRole('status').filter({ hasText: ': 40 views' }).waitFor();
    await page.keyboard.press('Enter');
    await shows('40');
    equal([parameter('from'), parameter('to')].join(), [day(30), day(27)].join());
  });
  await step('a month and a week as far as they are shown', async () => {
    await open(`${thirty}&by=MONTH`);
    await shows('300');
    await openTable();
    const [first, second] = await page.locator('#series-rows th').allTextContents();
    await page.locator('#chart').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await until(async () => second === undefined || parameter('to')?.endsWith('-31') || parameter('to')?.endsWith('-30') || parameter('to')?.endsWith('-28') || parameter('to')?.endsWith('-29'));
    if (first && second) equal(parameter('from'), day(30));
  });
}

/** On a touch screen the first tap tells of a bucket, a second one shows it alone. */
async function touch() {
  await recordDays({ ...each(0, 9, 10) });
  await open(`/?from=${day(6)}&to=${day(0)}&zone=UTC`);
  await shows('70');
  const plot = await page.locator('#chart .u-over').boundingBox();
  const tap = (column) => page.touchscreen.tap(plot.x + ((column + 0.5) * plot.width) / 7, plot.y + plot.height / 2);
  await step('the first tap', async () => {
    for (const column of [2, 4]) {
      await tap(column);
      await page.locator('#chart-tip').filter({ hasText: '10 views' }).waitFor();
      equal(parameter('from'), day(6));
    }
  });
  await step('the second tap', async () => {
    await tap(4);
    await shows('10');
    equal(parameter('from'), day(2));
  });
  await step('how fresh the figures are, by a tap', async () => {
    await page.locator('#freshness').tap();
    await page.getByRole('tooltip').filter({ hasText: 'as of ' }).waitFor();
    await page.touchscreen.tap(5, 500);
    await page.getByRole('tooltip').waitFor({ state: 'hidden' });
  });
}

/** Keys for what is done every day, with a sheet of them; fields are typed into, and who wants none has none. */
async function keys() {
  await recordDays({ 0: 3, 1: 4 });
  await open('/?zone=UTC');
  await shows('7');
  await step('the sheet by its key and by its button', async () => {
    await page.keyboard.press('?');
    const sheet = page.getByRole('dialog', { name: 'Keys' });
    await sheet.waitFor();
    for (const name of ['Earlier', 'Later', 'Today', '12 months', 'Choose days', 'Find pages']) equal(await sheet.getByText(name, { exact: true }).isVisible(), true);
    await barriers('sheet of keys');
    await page.keyboard.press('Escape');
    await sheet.waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Keys' }).click();
    await sheet.waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await sheet.waitFor({ state: 'hidden' });
  });
  await step('periods', async () => {
    for (const [key, period] of [['d', 'TODAY'], ['e', 'YESTERDAY'], ['h', 'LAST_24_HOURS'], ['t', 'LAST_30_DAYS'], ['m', 'THIS_MONTH'], ['p', 'LAST_MONTH'], ['l', 'LAST_12_MONTHS'], ['y', 'THIS_YEAR'], ['a', 'ALL_TIME'], ['w', null]]) {
      await page.keyboard.press(key);
      await until(async () => parameter('period') === period);
    }
  });
  await step('a field takes letters as letters', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('day');
    equal(await page.locator('#search').inputValue(), 'day');
    equal(parameter('period'), null);
    await page.locator('#search').fill('');
    await page.locator('#search').blur();
  });
  await step('with Ctrl they are the browser’s', async () => {
    await page.keyboard.press('Control+e');
    equal(parameter('period'), null);
  });
  await step('none for those who want none', async () => {
    await page.getByRole('button', { name: 'Keys' }).click();
    await page.getByLabel('Use these keys on this device').uncheck();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.reload();
    await shows('7');
    await page.keyboard.press('d');
    await page.keyboard.press('?');
    equal(parameter('period'), null);
    equal(await page.locator('#keys').isVisible(), false);
  });
}

/** Days are chosen on the calendar, from the first counted one to today, with mouse and keys. */
async function calendar() {
  await recordDays({ ...each(0, 45, 2) });
  await open('/?zone=UTC');
  await shows('14');
  const cell = (ago) => page.locator(`[data-day="${day(ago)}"]`);
  const openPanel = async () => {
    await page.getByText('Custom…').click();
    await page.locator('#range-panel').waitFor();
  };
  const showMonth = (ago) => page.getByLabel('Month', { exact: true }).selectOption(`${day(ago).slice(0, 7)}-01`);
  await step('two clicks', async () => {
    await openPanel();
    await showMonth(40);
    await cell(40).click();
    await page.getByRole('status').filter({ hasText: 'choose the other end' }).waitFor();
    await showMonth(10);
    await cell(10).click();
    await shows('62');
    equal([parameter('from'), parameter('to')].join(), [day(40), day(10)].join());
    equal(await page.locator('#range-panel').isVisible(), false);
  });
  await step('nothing before the first counted day, nothing after today', async () => {
    await openPanel();
    await showMonth(45);
    equal(await page.getByRole('button', { name: 'Month before' }).isDisabled(), true);
    const before = cell(46);
    if (await before.count()) equal(await before.isDisabled(), true);
    equal(await cell(45).isDisabled(), false);
    await showMonth(0);
    equal(await page.getByRole('button', { name: 'Month after' }).isDisabled(), true);
    const after = cell(-1);
    if (await after.count()) equal(await after.isDisabled(), true);
    await barriers('calendar');
    await page.keyboard.press('Escape');
  });
  await step('with keys alone', async () => {
    await page.keyboard.press('w');
    await shows('14');
    await page.keyboard.press('c');
    await until(async () => (await page.evaluate(() => document.activeElement.dataset.day)) === day(0));
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await shows('6');
    equal([parameter('from'), parameter('to')].join(), [day(8), day(6)].join());
  });
  await step('it never leaves what was counted', async () => {
    await page.keyboard.press('c');
    await until(async () => (await page.evaluate(() => document.activeElement.dataset.day)) === day(6));
    await page.keyboard.press('Shift+PageUp');
    equal(await page.evaluate(() => document.activeElement.dataset.day), day(45));
    await page.keyboard.press('Escape');
    await page.locator('#range-panel').waitFor({ state: 'hidden' });
    equal(await page.locator('#custom summary').evaluate((summary) => summary === document.activeElement), true);
  });
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await step(`the calendar at ${width}, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme });
        await openPanel();
        await barriers(`calendar ${width} ${colorScheme}`);
        const box = await page.locator('#range-panel').boundingBox();
        equal(box.x >= 0 && box.x + box.width <= width, true);
        equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
        await page.keyboard.press('Escape');
      });
    }
  }
}

/** In the United States weeks begin on Sunday, in the chart and on the calendar, and clocks have 12 hours. */
async function weeks() {
  await recordDays({ ...each(0, 30, 1_000) });
  await open(`/?from=${day(27)}&to=${day(0)}&by=WEEK&zone=UTC`);
  await shows('28,000');
  await step('weeks from Sunday', async () => {
    const sunday = Array.from({ length: 7 }, (_, index) => 27 - index).find((ago) => new Date(day(ago)).getUTCDay() === 0);
    const name = new Intl.DateTimeFormat('en-US', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }).format(new Date(day(sunday)));
    await openTable();
    const rows = await page.locator('#series-rows th').allTextContents();
    equal(rows.includes(`Week of ${name}`), true);
  });
  await step('the calendar from Sunday', async () => {
    await page.getByText('Custom…').click();
    equal((await page.locator('#calendar-weekdays th').first().textContent()), 'Sun');
    await page.keyboard.press('Escape');
  });
  await step('12 hours', async () => {
    await open(`/?from=${day(1)}&to=${day(1)}&zone=UTC`);
    await shows('1,000');
    await openTable();
    const rows = await page.locator('#series-rows th').allTextContents();
    equal(rows.some((row) => /1:00\sPM$/.test(row)), true);
  });
}

/** Numbers and dates as in German, in every part of the page. */
async function german() {
  await recordDays({ ...each(0, 30, 1_234) });
  await open('/?period=LAST_7_DAYS&zone=UTC');
  await shows('8.638');
  await step('dates and numbers', async () => {
    const date = (options) => new Intl.DateTimeFormat('de-DE', { timeZone: 'UTC', ...options }).format(Date.parse(day(1)));
    const row = (await openTable()).nth(5);
    equal(await row.locator('th').textContent(), date({ weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' }));
    equal(await row.locator('td').first().textContent(), '1.234');
    equal((await page.locator('#page-rows td').first().textContent()), '8.638');
    equal(/^100(,0)?\s%$/.test(await page.locator('#page-rows .share').first().textContent()), true);
    equal((await page.locator('#interval').textContent()).includes(date({ month: 'short' })), true);
    equal(await page.getByLabel('Month', { exact: true }).locator('option').first().textContent(), date({ month: 'long', year: 'numeric' }).replace(/^.*$/, new Intl.DateTimeFormat('de-DE', { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(Date.parse(day(0)))));
    await page.getByText('Custom…').click();
    equal(await page.locator('#calendar-weekdays th').first().textContent(), 'Mo');
  });
}
