// A page of its own on the dashboard, and figures taken along, in Chromium as a person would use them.
//
//   node dashboard-own-page.mjs URL --scenario NAME [--limit SECONDS]
//
// The scenarios are below. They print {"next": "refresh"} and wait for a line on stdin: until then the report has been refreshed.
// The server's sites are https://www.example.org, and https://blog.example.org with the prefix /blog.
import { readFileSync } from 'node:fs';
import { until } from './browser.mjs';
import { barriers, equal, handOver, open, page, record, run, shows, step } from './dashboard-page.mjs';

const DAY_MS = 86_400_000;
const WIDTHS = [360, 768, 1280, 1600];
/** More than are asked for at once. */
const MANY = 1_203;

await run('dashboard-own-page.mjs', { own, 'take-along': takeAlong });

async function refreshWith(...increments) {
  await record(increments);
  await handOver('refresh');
}

/** Noon in UTC, so many days ago. */
function noon(days) {
  return `${new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10)}T12:00:00Z`;
}

/** As the page writes it. */
function dayOf(days, options) {
  return new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric', ...options }).format(Date.parse(noon(days)));
}

/** What is told of a page, and where it leads. */
async function own() {
  const name = '/blog/proof';
  await refreshWith(
    { page: name, title: 'A proof', views: 5, at: noon(40) }, { page: name, views: 10, at: noon(4) }, { page: name, views: 30, at: noon(3) }, { page: name, views: 20, at: noon(2) },
    { page: '/blog/other', title: 'Other', views: 30, at: noon(3) }, { page: '/blog/2026/deep', views: 7, at: noon(2) }, { page: '/', title: 'Home', views: 13, at: noon(2) }, { page: '/plain', views: 40, at: noon(4) },
  );
  await open('/?period=LAST_30_DAYS&zone=UTC');
  await shows('150', 'views');
  await step('the page that was clicked', async () => {
    await page.setViewportSize({ width: 1280, height: 500 });
    await page.locator('#page-rows').getByRole('link', { name: 'A proof /blog/proof' }).click();
    await shows('60', 'views');
    await page.getByRole('heading', { name: 'A proof' }).waitFor();
    equal(await page.locator('#own-name').innerText(), name);
    equal(await page.locator('#list').isVisible(), false);
    equal(await page.evaluate(() => `${document.activeElement.id} ${scrollY}`), 'report 0');
  });
  const fact = (term) => page.locator('.facts div', { hasText: term }).locator('dd').innerText();
  const facts = async () => [await fact('Best day'), await fact('First viewed'), await fact('Last viewed'), await fact('Share of the site')].join(' | ');
  await step('what is told of it', async () => {
    equal(await facts(), `${dayOf(3, { weekday: 'short' })}: 30 views | ${dayOf(40)}, 12:00 | ${dayOf(2)}, 12:00 | 40.0% of 150 views`);
  });
  await step('its share over time', async () => {
    const picture = page.getByRole('img', { name: /^At most 50\.0%, / });
    equal(await picture.count(), 1);
    await page.getByText('Share in figures').click();
    const row = (days) => page.locator('#own-share-rows tr', { hasText: dayOf(days, { weekday: 'short' }) }).innerText();
    equal((await row(4)).split(/\t/).slice(1).join('|'), '10|50|20.0%');
    equal((await row(3)).split(/\t/).slice(1).join('|'), '30|60|50.0%');
    equal((await row(2)).split(/\t/).slice(1).join('|'), '20|40|50.0%');
    equal((await row(10)).split(/\t/).slice(1).join('|'), '0|0|–');
  });
  const link = page.locator('#own-link');
  // The sites are told apart from the report.
  const leadsTo = (href) => until(async () => (await link.isVisible()) && (await link.getAttribute('href')) === href);
  await step('the link to the page', async () => {
    await leadsTo('https://blog.example.org/proof');
    equal(await page.getByRole('link', { name: /^Open the page/ }).count(), 1);
    equal(await link.getAttribute('target'), '_blank');
    equal((await link.getAttribute('rel')).includes('noopener'), true);
  });
  const beside = async () => (await page.locator('#own-beside-rows tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.innerText.replace(/\s+/g, ' ').trim()).join(' | ')))).join(', ');
  await step('what is beside it', async () => {
    equal(await page.locator('#own-folder').innerText(), 'In /blog/');
    equal(await beside(), 'A proof /blog/proof | 60, Other /blog/other | 30, /blog/2026/ 1 page | 7');
  });
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await step(`${width} pixels, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
        await barriers(`a page of its own, ${width} ${colorScheme}`);
      });
    }
  }
  await step('a refresh', async () => {
    const other = page.locator('#own-beside').getByRole('link', { name: 'Other' });
    await other.focus();
    await refreshWith({ page: '/blog/other', views: 100, at: noon(2) }, { page: name, views: 50, at: noon(1) });
    await shows('110');
    equal(await facts(), `${dayOf(1, { weekday: 'short' })}: 50 views | ${dayOf(40)}, 12:00 | ${dayOf(1)}, 12:00 | 36.7% of 300 views`);
    equal(await beside(), 'Other /blog/other | 130, A proof /blog/proof | 110, /blog/2026/ 1 page | 7');
    equal(await other.evaluate((link) => link === document.activeElement), true);
  });
  await step('its neighbour', async () => {
    await page.keyboard.press('Enter');
    await shows('130');
    await page.getByRole('heading', { name: 'Other', exact: true }).waitFor();
    await page.reload();
    await shows('130');
    await leadsTo('https://blog.example.org/other');
  });
  await step('the section beside it', async () => {
    await page.locator('#own-beside').getByRole('link', { name: '/blog/2026/' }).click();
    await page.locator('#page-rows').getByRole('link', { name: '/blog/2026/deep' }).waitFor();
    await shows('300');
  });
  await step('a page of the other site', async () => {
    await open('/?period=LAST_30_DAYS&zone=UTC&page=/plain');
    await shows('40');
    await leadsTo('https://www.example.org/plain');
    equal(await page.locator('#own-folder').innerText(), 'On the site');
  });
  await step('a page without views in the period', async () => {
    await open(`/?period=TODAY&zone=UTC&page=${name}`);
    await page.getByRole('heading', { name: 'No views in this period' }).waitFor();
    await page.getByRole('heading', { name: 'A proof' }).waitFor();
    await barriers('a page without views');
  });
  await step('names that are no addresses', async () => {
    const names = ['javascript:alert(1)', '//evil.example/x', 'https://evil.example/'];
    await refreshWith(...names.map((other) => ({ page: other, views: 1, at: noon(1) })));
    for (const other of names) {
      const told = page.waitForResponse(/settings\.json$/);
      await open(`/?period=LAST_30_DAYS&zone=UTC&page=${encodeURIComponent(other)}`);
      await shows('1', 'view');
      await (await told).finished();
      if (other.startsWith('/')) await leadsTo('https://www.example.org//evil.example/x');
      else equal(await link.isVisible(), false);
    }
  });
}

/** The file that a button gives, as rows of cells; checked to be CSV in UTF-8 with a mark. */
async function fileOf(button) {
  const downloading = page.waitForEvent('download');
  await page.getByRole('button', { name: button }).click();
  const download = await downloading;
  const bytes = readFileSync(await download.path());
  equal(bytes.subarray(0, 3).toString('hex'), 'efbbbf');
  return { name: download.suggestedFilename(), rows: parse(bytes.subarray(3).toString('utf8')) };
}

/** RFC 4180, and nothing else. */
function parse(text) {
  const rows = [[]];
  const cell = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    if (!found) throw new Error('the file is no CSV');
    rows.at(-1).push(found[1].startsWith('"') ? found[1].slice(1, -1).replaceAll('""', '"') : found[1]);
    if (found[2] !== ',' && cell.lastIndex < text.length) rows.push([]);
  }
  return rows;
}

/** What is shown, as files for spreadsheets. */
async function takeAlong() {
  const hostile = ['=1+1', '+1', '-1', '@SUM(1)', '＝1'];
  const title = '=HYPERLINK("https://evil.example"), “Größe”';
  const pages = Array.from({ length: MANY - hostile.length - 1 }, (_, index) => ({ page: `/many/${index % 2 ? 'odd' : 'even'}/${String(index).padStart(4, '0')}`, views: 3_000 - index, at: noon(1) }));
  await refreshWith(...pages, ...hostile.map((name, index) => ({ page: name, views: 100 - index, at: noon(1) })), { page: '/titled', title, views: 5_000, at: noon(1) }, { page: '/titled', views: 4_000, at: noon(9) }, { page: '/first', views: 1, at: noon(40) });
  await open('/?period=LAST_7_DAYS&zone=UTC');
  await page.locator('#pager-rows', { hasText: '1–25 of 1,203' }).waitFor();
  const span = `${noon(6).slice(0, 10)}-to-${noon(0).slice(0, 10)}`;
  await step('all pages of the list', async () => {
    await page.getByRole('link', { name: 'Next pages' }).click();
    await page.locator('#pager-rows', { hasText: '26–50 of 1,203' }).waitFor();
    const { name, rows } = await fileOf('The whole list as CSV');
    equal(name, `pages-${span}.csv`);
    equal(rows[0].join('|'), 'page|title|views|share|comparable views|previous views|change');
    equal(rows.length, MANY + 1);
    equal(new Set(rows.map(([first]) => first)).size, MANY + 1);
    const [first, titleCell, views, share, comparable, previous, change] = rows[1];
    equal([first, titleCell, views, comparable, previous, change].join('|'), `/titled|'${title}|5000|5000|4000|0.25`);
    equal(Number(share) > 0 && Number(share) < 0.1, true);
    equal(rows.slice(-hostile.length).map(([last]) => last).join('|'), hostile.map((text) => `'${text}`).join('|'));
    equal(rows.at(-1)[1], '');
  });
  await step('what the list finds, in its order', async () => {
    await open('/?period=LAST_7_DAYS&zone=UTC&order=NAME&find=ODD/000');
    await page.locator('#page-count', { hasText: '5 of 1,203' }).waitFor();
    const { rows } = await fileOf('The whole list as CSV');
    equal(rows.slice(1).map(([name]) => name).join(), '/many/odd/0001,/many/odd/0003,/many/odd/0005,/many/odd/0007,/many/odd/0009');
    await barriers('files');
  });
  await step('the sections', async () => {
    await open('/?period=LAST_7_DAYS&zone=UTC&list=sections&folder=/many/');
    await page.locator('#page-rows').getByRole('link', { name: '/many/odd/' }).waitFor();
    const { name, rows } = await fileOf('The whole list as CSV');
    equal(name, `sections-${span}.csv`);
    equal(rows[0].slice(0, 4).join('|'), 'section|title|pages|views');
    equal(rows.slice(1).map(([section, , count]) => `${section} ${count}`).join(), '/many/even/ 599,/many/odd/ 598');
  });
  await step('the views over time', async () => {
    await open('/?period=LAST_7_DAYS&zone=UTC&page=/titled&by=DAY');
    await shows('5,000', 'views');
    const { name, rows } = await fileOf('Views over time as CSV');
    equal(name, `views-by-day-${span}.csv`);
    equal(rows[0].slice(0, 5).join('|'), 'start|local start|views|complete|whole');
    equal(rows.length, 8);
    equal(rows.slice(1).map(([, day, views]) => `${day.slice(0, 10)} ${views}`).join(), [6, 5, 4, 3, 2, 1, 0].map((days) => `${noon(days).slice(0, 10)} ${days === 1 ? 5_000 : 0}`).join());
    equal(rows[1][3], 'true');
    equal(rows[7][3], 'false');
  });
}
