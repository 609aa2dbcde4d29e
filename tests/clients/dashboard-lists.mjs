// The orders of the dashboard's list, and its sections, in Chromium as a person would use them.
//
//   node dashboard-lists.mjs URL --scenario NAME [--limit SECONDS]
//
// The scenarios are below. They print {"next": "refresh"} and wait for a line on stdin: until then the report has been refreshed.
import { until } from './browser.mjs';
import { barriers, equal, handOver, open, page, record, run, shows, step } from './dashboard-page.mjs';

const DAY_MS = 86_400_000;

await run('dashboard-lists.mjs', { orders, sections });

async function refreshWith(...increments) {
  await record(increments);
  await handOver('refresh');
}

/** So many days ago. */
function ago(days) {
  return new Date(Date.now() - days * DAY_MS).toISOString();
}

function parameter(name) {
  return new URL(page.url()).searchParams.get(name);
}

/** Each row of the list, its cells apart by a bar. */
async function listed() {
  const rows = await page.locator('#page-rows tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.innerText.replace(/\s+/g, ' ').trim())));
  return rows.map(([name, views, , change]) => `${name} | ${views} | ${change}`.trim());
}

async function lists(what, ...expected) {
  await step(what, () => until(async () => {
    const found = await listed();
    return JSON.stringify(found) === JSON.stringify(expected);
  }));
}

/** Pages are ordered by views, change and name, and tell how they changed; after each refresh anew. */
async function orders() {
  await refreshWith(
    { page: '/old', views: 1, at: ago(40) }, { page: '/risen', views: 100, at: ago(9) }, { page: '/fallen', views: 300, at: ago(9) }, { page: '/gone', views: 90, at: ago(9) }, { page: '/same', views: 10, at: ago(9) },
    { page: '/risen', views: 150, at: ago(2) }, { page: '/fallen', views: 100, at: ago(2) }, { page: '/new', views: 70, at: ago(2), title: 'Newcomer' }, { page: '/same', views: 10, at: ago(2) },
  );
  const [risen, fallen, fresh, same] = ['/risen | 150 | ▲ risen by 50 50.0%', '/fallen | 100 | ▼ fallen by 200 66.7%', 'Newcomer /new | 70 | ▲ risen by 70 new', '/same | 10 | unchanged'];
  const gone = '/gone | 0 | ▼ fallen by 90 gone';
  await open('/?period=LAST_7_DAYS&zone=UTC');
  await shows('330', 'views');
  await lists('the most viewed first', risen, fallen, fresh, same);
  const heads = page.locator('#list-table thead');
  await heads.getByRole('link', { name: 'Change' }).click();
  await lists('the greatest change first, with what is gone', fallen, gone, fresh, risen, same);
  equal(parameter('order'), 'CHANGE');
  equal(await heads.locator('th[aria-sort="descending"]').innerText(), 'Change');
  equal(await page.locator('#pages-title').innerText(), 'Changed most');
  equal(await page.locator('#page-rows tr').nth(3).locator('.change').getAttribute('title'), '150 against 100');
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await barriers(`changes, ${colorScheme}`);
  }
  await step('the order after a refresh, and the focus', async () => {
    await refreshWith({ page: '/risen', views: 500, at: ago(2) });
    await shows('830');
  });
  const risenMore = '/risen | 650 | ▲ risen by 550 550.0%';
  await lists('the order after a refresh', risenMore, fallen, gone, fresh, same);
  equal(await heads.getByRole('link', { name: 'Change' }).evaluate((link) => link === document.activeElement), true);
  await page.reload();
  await lists('the order after a reload', risenMore, fallen, gone, fresh, same);
  await page.getByRole('searchbox', { name: /^Find in this list/ }).fill('NEW');
  await lists('what is found, with its change', fresh);
  await page.getByRole('searchbox', { name: /^Find in this list/ }).fill('');
  await lists('all of them again', risenMore, fallen, gone, fresh, same);
  await heads.getByRole('link', { name: 'Page' }).focus();
  await page.keyboard.press('Enter');
  await lists('by name', fallen, fresh, risenMore, same);
  equal(await heads.locator('th[aria-sort="ascending"]').innerText(), 'Page');
  await step('a new page by name, by itself', () => refreshWith({ page: '/nearly', views: 1, at: ago(2) }));
  await lists('by name after a refresh', fallen, '/nearly | 1 | ▲ risen by 1 new', fresh, risenMore, same);
  await step('no changes where there is nothing to compare with', async () => {
    await open('/?period=ALL_TIME&zone=UTC&order=CHANGE');
    await shows('1,332');
    await lists('the most viewed first', '/risen | 750 |', '/fallen | 400 |', '/gone | 90 |', 'Newcomer /new | 70 |', '/same | 20 |', '/nearly | 1 |', '/old | 1 |');
    equal(await page.locator('#list-table .change').first().isVisible(), false);
    equal(await page.locator('#pages-title').innerText(), 'Most viewed');
    await heads.getByRole('link', { name: 'Views' }).click();
    await until(async () => parameter('order') === null);
  });
  await step('the row of what is gone leads to its page', async () => {
    await open('/?period=LAST_7_DAYS&zone=UTC&order=CHANGE');
    await page.locator('#page-rows').getByRole('link', { name: '/gone' }).click();
    await page.getByRole('heading', { name: 'No views in this period' }).waitFor();
  });
}

/** Sections lead down step by step, with sums, and back up. */
async function sections() {
  await refreshWith(
    { page: '/', title: 'Home', views: 50, at: ago(1) }, { page: '/blog/one', title: 'One', views: 40, at: ago(1) }, { page: '/blog/2026/x', views: 30, at: ago(1) }, { page: '/blog/2026/y', views: 20, at: ago(1) },
    { page: '/blog', title: 'Blog', views: 5, at: ago(1) }, { page: 'example.org/z', views: 3, at: ago(1) }, { page: '/blog/one', views: 20, at: ago(9) }, { page: '/', views: 1, at: ago(30) },
  );
  await open('/?period=LAST_7_DAYS&zone=UTC');
  await shows('148', 'views');
  const table = page.locator('#list-table');
  const way = async () => (await page.locator('#folders li').allInnerTexts()).map((text) => text.trim()).join(' ');
  await page.getByRole('link', { name: 'Sections', exact: true }).click();
  const top = ['/blog/ 3 pages | 90 | ▲ risen by 70 350.0%', 'Home / | 50 | ▲ risen by 50 new', 'Blog /blog | 5 | ▲ risen by 5 new', 'example.org/ 1 page | 3 | ▲ risen by 3 new'];
  await lists('the sections', ...top);
  equal(parameter('list'), 'sections');
  await barriers('sections');
  await table.getByRole('link', { name: '/blog/ 3 pages' }).click();
  const blog = ['/blog/2026/ 2 pages | 50 | ▲ risen by 50 new', 'One /blog/one | 40 | ▲ risen by 20 100.0%'];
  await lists('a section', ...blog);
  equal(await way(), 'All sections /blog/');
  equal(parameter('folder'), '/blog/');
  await table.getByRole('link', { name: '/blog/2026/ 2 pages' }).click();
  await lists('a section in it', '/blog/2026/x | 30 | ▲ risen by 30 new', '/blog/2026/y | 20 | ▲ risen by 20 new');
  equal(await way(), 'All sections /blog/ 2026/');
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    await barriers(`a section, ${width}`);
  }
  await page.reload();
  await lists('the same after a reload', '/blog/2026/x | 30 | ▲ risen by 30 new', '/blog/2026/y | 20 | ▲ risen by 20 new');
  await step('a refresh', async () => {
    await page.getByRole('link', { name: '/blog/2026/y' }).focus();
    await refreshWith({ page: '/blog/2026/y', views: 80, at: ago(1) }, { page: '/blog/2026/deep/er', views: 40, at: ago(1) });
    await shows('268');
  });
  const after = ['/blog/2026/y | 100 | ▲ risen by 100 new', '/blog/2026/deep/ 1 page | 40 | ▲ risen by 40 new', '/blog/2026/x | 30 | ▲ risen by 30 new'];
  await lists('the section after a refresh', ...after);
  equal(await page.evaluate(() => document.activeElement.textContent.trim()), '/blog/2026/y');
  await page.locator('#folders').getByRole('link', { name: '/blog/', exact: true }).click();
  await lists('back up', '/blog/2026/ 3 pages | 170 | ▲ risen by 170 new', blog[1]);
  await page.goBack();
  await lists('the way back', ...after);
  await step('a section alone', async () => {
    await page.getByRole('link', { name: 'Show only this section' }).click();
    await shows('170', 'views');
    equal(parameter('prefix'), '/blog/2026/');
  });
  await lists('what is in it', ...after);
  await step('a page of it', async () => {
    await table.getByRole('link', { name: '/blog/2026/x' }).click();
    await shows('30', 'views');
    equal(parameter('page'), '/blog/2026/x');
  });
}
