// A page of its own on the dashboard in Chromium as a person would use them.
//
//   node dashboard-own-page.mjs URL --scenario NAME [--limit SECONDS]
//
// The scenarios are below. They print {"next": "refresh"} and wait for a line on stdin: until then the report has been refreshed.
// The server's sites are https://www.example.org, and https://blog.example.org with the prefix /blog.
import { until } from './browser.mjs';
import { barriers, equal, handOver, open, page, record, run, shows, step } from './dashboard-page.mjs';

const DAY_MS = 86_400_000;
const WIDTHS = [360, 768, 1280, 1600];

await run('dashboard-own-page.mjs', { own });

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
    await page.locator('#own-page').getByText('As a table').click();
    const row = (days) => page.locator('#own-share-rows tr', { hasText: dayOf(days, { weekday: 'short' }) }).innerText();
    equal((await row(4)).split(/\t/).slice(1).join('|'), '10|50|20.0%');
    equal((await row(3)).split(/\t/).slice(1).join('|'), '30|60|50.0%');
    equal((await row(2)).split(/\t/).slice(1).join('|'), '20|40|50.0%');
    equal((await row(10)).split(/\t/).slice(1).join('|'), '0|0|–');
  });
  await step('the link to the page', async () => {
    const link = page.getByRole('link', { name: /^Open the page/ });
    equal(await link.getAttribute('href'), 'https://blog.example.org/proof');
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
    equal(await page.getByRole('link', { name: /^Open the page/ }).getAttribute('href'), 'https://blog.example.org/other');
  });
  await step('the section beside it', async () => {
    await page.locator('#own-beside').getByRole('link', { name: '/blog/2026/' }).click();
    await page.locator('#page-rows').getByRole('link', { name: '/blog/2026/deep' }).waitFor();
    await shows('300');
  });
  await step('a page of the other site', async () => {
    await open('/?period=LAST_30_DAYS&zone=UTC&page=/plain');
    await shows('40');
    await until(async () => (await page.getByRole('link', { name: /^Open the page/ }).getAttribute('href')) === 'https://www.example.org/plain');
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
    const leads = async (other) => {
      await open(`/?period=LAST_30_DAYS&zone=UTC&page=${encodeURIComponent(other)}`);
      await shows('1', 'view');
      return page.locator('#own-link').getAttribute('href');
    };
    equal(await leads(names[0]), null);
    equal(await leads(names[2]), null);
    equal(await leads(names[1]), 'https://www.example.org//evil.example/x');
  });
}
