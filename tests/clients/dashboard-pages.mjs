// The dashboard's list of pages and its search, in Chromium as a person would use them.
//
//   node dashboard-pages.mjs URL --scenario NAME [--limit SECONDS]
//
// The scenarios are below. They print {"next": "refresh"} and wait for a line on stdin: until then the report has been refreshed.
import { until } from './browser.mjs';
import { barriers, equal, handOver, open, page, record, run, shows, step } from './dashboard-page.mjs';

const WIDTHS = [360, 768, 1280, 1600];
const MANY = 1_047;

await run('dashboard-pages.mjs', { refreshes, find, 'long-list': longList, names });

function rows() {
  return page.locator('#page-rows tr');
}

async function shownNames() {
  return (await page.locator('#page-rows a.page').allTextContents()).map((text) => text.trim().split(/\s+/).at(-1));
}

function parameter(name) {
  return new URL(page.url()).searchParams.get(name);
}

async function refreshWith(...increments) {
  if (increments.length > 0) await record(increments);
  await handOver('refresh');
}

/** Counts the reports that the page was sent. */
function countReports() {
  const counted = { reports: 0 };
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
    if (String(payload).includes('"countedSince"')) counted.reports += 1;
  }));
  return counted;
}

/** What has the focus and what is selected stays, whatever a refresh changes; and nothing is drawn for nothing. */
async function refreshes() {
  await refreshWith({ page: '/a', title: 'Alpha', views: 50 }, { page: '/b', title: 'Beta', views: 40 }, { page: '/c', views: 30 }, { page: '/d', views: 20 }, { page: '/e', views: 10 });
  const sent = countReports();
  await open('/?period=TODAY&zone=UTC');
  await step('the pages', () => shows('150', 'views'));
  await rows().nth(1).locator('td').first().dblclick();
  await page.locator('#page-rows a.page').nth(2).focus();
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  const selected = () => page.evaluate(() => getSelection().toString().trim());
  const keepsBoth = async (selection) => {
    equal(await focused(), '/c');
    equal(await selected(), selection);
  };
  await keepsBoth('40');
  await step('refreshes without a change: nothing is drawn', async () => {
    await page.evaluate(() => {
      window.changes = [];
      const note = (records) => window.changes.push(...records.map(({ target, type }) => `${type} of ${target.id || target.nodeName}`));
      window.observer = new MutationObserver(note);
      window.losses = 0;
      document.addEventListener('focusout', () => { window.losses += 1; });
      window.observer.observe(document.querySelector('#report'), { subtree: true, childList: true, attributes: true, characterData: true });
    });
    for (let times = 1; times <= 2; times += 1) {
      const before = sent.reports;
      await refreshWith();
      await until(() => sent.reports > before);
    }
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
    equal((await page.evaluate(() => window.changes)).join('|'), '');
    await keepsBoth('40');
  });
  await step('the row with the focus rises', async () => {
    await refreshWith({ page: '/c', views: 100 });
    await shows('250');
    await until(async () => (await shownNames()).join() === '/c,/a,/b,/d,/e');
    await keepsBoth('40');
  });
  await step('all rows change their places, and new ones come', async () => {
    await refreshWith({ page: '/e', views: 500 }, { page: '/d', views: 400 }, { page: '/new', views: 450 }, { page: '/b', views: 200, title: 'Beta' });
    await shows('1,800');
    await until(async () => (await shownNames()).join() === '/e,/new,/d,/b,/c,/a');
    await keepsBoth('240');
  });
  equal(await page.evaluate(() => window.losses), 0);
  await step('a title is learned', async () => {
    await refreshWith({ page: '/d', title: 'Delta', views: 1 });
    await rows().filter({ hasText: 'Delta' }).waitFor();
    await keepsBoth('240');
  });
  await step('the row of the focus falls out of the list: the one in its place has it', async () => {
    await refreshWith(...Array.from({ length: 30 }, (_, index) => ({ page: `/more-${index}`, views: 1_000 })));
    await shows('31,801');
    equal(await page.evaluate(() => document.activeElement.closest('#page-rows') !== null), true);
  });
}

/** Pages are found by name and by title, in any case, as one types. */
async function find() {
  await refreshWith(
    { page: '/', title: 'Home', views: 90 }, { page: '/p/plans', title: 'Pricing', views: 80 }, { page: '/pricing-old', views: 7 },
    { page: '/blog/one', title: 'Größe und Maß', views: 6 }, { page: '/blog/two', views: 5 }, { page: '/Über', title: 'ΣΊΣΥΦΟΣ', views: 4 }, { page: '/hostile<b>', title: '<i>hostile</i>', views: 3 },
  );
  await open('/?period=TODAY&zone=UTC');
  await step('the pages', () => shows('195', 'views'));
  const field = page.getByRole('combobox', { name: /^Find pages/ });
  const options = page.locator('#matches').getByRole('option');
  const finds = (text, ...expected) => step(`what is found for ${text}`, async () => {
    await field.fill(text);
    await until(async () => JSON.stringify(await found()) === JSON.stringify(expected));
    await field.press('Escape');
    equal(await options.count(), 0);
    equal(await field.inputValue(), text);
  });
  const found = async () => (await options.locator('.page').allInnerTexts()).slice(0, -1).map((text) => text.replace(/\s+/g, ' ').trim());
  await finds('Pricing', 'Pricing /p/plans', '/pricing-old');
  await finds('pRiCi', 'Pricing /p/plans', '/pricing-old');
  await finds('GRÖSSE und', ...[]);
  await finds('GRÖßE', 'Größe und Maß /blog/one');
  await finds('/BLOG', 'Größe und Maß /blog/one', '/blog/two');
  await finds('über', 'ΣΊΣΥΦΟΣ /Über');
  await finds('σίσυφ', 'ΣΊΣΥΦΟΣ /Über');
  await finds('<I>hos', '<i>hostile</i> /hostile<b>');
  await step('the word that nothing is found', async () => {
    await field.fill('nowhere');
    await page.getByText('No page viewed in this period has “nowhere” in its name or title.').waitFor();
    await barriers('nothing found');
  });

  await step('the list by keyboard', async () => {
    await field.fill('');
    await field.pressSequentially('pric');
    await until(async () => (await options.count()) === 3);
    equal(await field.getAttribute('aria-expanded'), 'true');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    const active = await field.getAttribute('aria-activedescendant');
    equal(await page.locator(`#${active}`).getAttribute('aria-selected'), 'true');
    equal(await page.locator(`#${active} .page`).innerText(), '/pricing-old');
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await barriers(`matches, ${colorScheme}`);
    }
    await page.keyboard.press('Enter');
    await shows('7', 'views');
    equal(parameter('page'), '/pricing-old');
  });
  await step('a page by the mouse', async () => {
    await page.getByRole('link', { name: 'Show all pages' }).click();
    await shows('195');
    equal(await field.evaluate((element) => element === document.activeElement), true);
    await field.fill('pricing');
    await options.filter({ hasText: '/p/plans' }).click();
    await shows('80', 'views');
    equal(parameter('page'), '/p/plans');
  });
  await step('Enter filters by the text', async () => {
    await open('/?period=TODAY&zone=UTC');
    await field.fill('Pricing');
    await field.press('Enter');
    await shows('87', 'views');
    equal(parameter('search'), 'Pricing');
    await page.reload();
    await shows('87', 'views');
    equal(await field.inputValue(), 'Pricing');
  });
  await step('a beginning with a slash', async () => {
    await field.fill('/blog/');
    await field.press('Enter');
    await shows('11', 'views');
    equal(parameter('prefix'), '/blog/');
  });
  await step('a beginning in other letters than there are', async () => {
    await field.fill('/BLOG/');
    await until(async () => (await options.count()) === 3);
    equal(await options.last().innerText(), 'Filter by “/BLOG/”');
    await field.press('Enter');
    await shows('11', 'views');
    equal(parameter('search'), '/BLOG/');
  });
  await step('old addresses', async () => {
    await open('/?period=TODAY&zone=UTC&contains=pric');
    await shows('7', 'views');
    for (const [address, views] of [['contains=PRICING', '87'], ['page=Pricing', '87'], ['prefix=Pric', '87'], ['prefix=/BLOG', '11']]) {
      await open(`/?period=TODAY&zone=UTC&${address}`);
      await page.getByRole('link', { name: /^Show (it|them)$/ }).click();
      await shows(views, 'views');
      equal((await page.locator('#report').innerText()).includes('Nothing was ever'), false);
    }
  });
  await step('what was typed last is shown, and one question is asked at a time', async () => {
    const asked = await delayMatches();
    await open('/?period=TODAY&zone=UTC');
    await shows('195');
    await page.evaluate(async () => {
      const input = document.querySelector('#search');
      input.focus();
      for (const text of ['b', 'bl', 'blog', 'o', 'h', 'ho', 'home', '/blog/t']) {
        input.value = text;
        input.dispatchEvent(new Event('input'));
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    });
    await until(async () => (await found()).join() === '/blog/two');
    equal(asked.most, 1);
    equal(asked.all < 8, true);
  });
}

/** Answers to questions for matches come late. Counts these questions, and how many are under way at once. */
async function delayMatches() {
  const asked = { all: 0, most: 0 };
  await page.routeWebSocket('**/graphql', (socket) => {
    const server = socket.connectToServer();
    const underWay = new Set();
    socket.onMessage((message) => {
      const { type, id, payload } = JSON.parse(message);
      if (type === 'subscribe' && payload.query.startsWith('query Matches')) {
        underWay.add(id);
        asked.all += 1;
        asked.most = Math.max(asked.most, underWay.size);
      }
      server.send(message);
    });
    server.onMessage((message) => {
      const { id } = JSON.parse(message);
      if (!underWay.has(id)) socket.send(message);
      else setTimeout(() => {
        underWay.delete(id);
        socket.send(message);
      }, 400);
    });
  });
  return asked;
}

/** Every page of a long list can be reached, and its place stays. */
async function longList() {
  // Page 0001 has the most views.
  const pages = Array.from({ length: MANY }, (_, index) => ({ page: `/page-${String(index + 1).padStart(4, '0')}`, views: 3 * (MANY - index), title: index % 2 ? `Title of ${index + 1}` : undefined }));
  await refreshWith(...pages);
  await open('/?period=TODAY&zone=UTC');
  const first = async () => (await shownNames())[0];
  const at = (label, name) => step(label, async () => {
    await page.locator('#pager-rows', { hasText: label }).waitFor();
    await until(async () => (await first()) === name);
  });
  await at('1–25 of 1,047', '/page-0001');
  equal(await page.evaluate(() => document.documentElement.scrollHeight < 3_000), true);
  await barriers('a part of the list');
  const next = page.getByRole('link', { name: 'Next pages' });
  await next.click();
  await at('26–50 of 1,047', '/page-0026');
  await page.keyboard.press('Enter');
  await at('51–75 of 1,047', '/page-0051');
  const address = page.url();
  await page.reload();
  await at('51–75 of 1,047', '/page-0051');
  await step('the place after a refresh', async () => {
    await rows().filter({ hasText: '/page-0060' }).locator('td').first().dblclick();
    await next.focus();
    // Two of the last become the first.
    await refreshWith({ page: '/page-1047', views: 9_000 }, { page: '/page-1046', views: 8_000 });
    await until(async () => (await first()) === '/page-0049');
    equal(await page.locator('#pager-rows').innerText(), '51–75 of 1,047');
    equal(page.url(), address);
    equal(await next.evaluate((link) => link === document.activeElement), true);
    equal((await page.evaluate(() => getSelection().toString())).trim(), new Intl.NumberFormat('en').format(3 * (MANY - 59)));
  });
  await page.getByRole('link', { name: 'Last pages' }).click();
  await at('1,026–1,047 of 1,047', '/page-1024');
  await page.reload();
  await at('1,026–1,047 of 1,047', '/page-1024');
  equal(await next.getAttribute('aria-disabled'), 'true');
  await barriers('the last part');
  await page.getByRole('link', { name: 'Previous pages' }).click();
  await at('1,001–1,025 of 1,047', '/page-0999');
  await page.goBack();
  await at('1,026–1,047 of 1,047', '/page-1024');
  await open('/?period=TODAY&zone=UTC&row=5001');
  await at('1,026–1,047 of 1,047', '/page-1024');
  await page.getByRole('link', { name: 'First pages' }).click();
  await at('1–25 of 1,047', '/page-1047');

  const field = page.getByRole('searchbox', { name: /^Find in this list/ });
  await step('the search of the list', async () => {
    await field.pressSequentially('TITLE OF 10');
    await page.locator('#page-count', { hasText: '30 of 1,047 pages' }).waitFor();
    await page.locator('#pager-rows', { hasText: '1–25 of 30' }).waitFor();
    equal(await field.evaluate((element) => element === document.activeElement), true);
    await next.click();
    await page.locator('#pager-rows', { hasText: '26–30 of 30' }).waitFor();
    const left = await shownNames();
    await refreshWith({ page: '/elsewhere', views: 1 });
    await page.locator('#page-count', { hasText: '30 of 1,048 pages' }).waitFor();
    equal((await shownNames()).join(), left.join());
    await page.reload();
    await page.locator('#pager-rows', { hasText: '26–30 of 30' }).waitFor();
    equal(await field.inputValue(), 'TITLE OF 10');
    equal((await shownNames()).join(), left.join());
    await barriers('the search of the list');
    await field.fill('none of them');
    await page.getByText('No page viewed in this period has “none of them” in its name or title.').waitFor();
    await field.fill('');
    await at('1–25 of 1,048', '/page-1047');
  });
  await step('a page of the list', async () => {
    await next.click();
    await rows().first().getByRole('link').click();
    await until(async () => parameter('page') !== null && parameter('row') === null);
    await page.goBack();
    await page.locator('#pager-rows', { hasText: '26–50 of 1,048' }).waitFor();
  });
}

/** Names and titles of any length take one line, and never widen the page. */
async function names() {
  const long = { page: `/${'n'.repeat(1_000)}`, title: 'A title that goes on and on, '.repeat(30).trim() };
  const shares = [['/half', 5_000], [long.page, 3_000], ['/x', 1_234], ['/y', 765], ['/z', 1]];
  await refreshWith(...shares.map(([name, views]) => ({ page: name, views, title: name === long.page ? long.title : undefined })));
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await step(`${width} pixels, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await open('/?period=TODAY&zone=UTC');
        await shows('10,000');
        await barriers(`long names, ${width} ${colorScheme}`);
        const isNarrow = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
        equal(await isNarrow(), true);
        const heights = await page.locator('#page-rows :is(b, small:not([hidden]))').evaluateAll((texts) => texts.map((text) => text.getBoundingClientRect().height));
        equal(Math.max(...heights) < 26, true);
        equal(await page.locator('#page-rows a.page').nth(1).getAttribute('title'), `${long.title}\n${long.page}`);
        const said = await page.locator('#page-rows td.share').allInnerTexts();
        equal(said.join('|'), '50.0%|30.0%|12.3%|7.7%|< 0.1%');
        const edges = await page.locator('#page-rows td.share').evaluateAll((cells) => cells.map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return Math.round(range.getBoundingClientRect().right);
        }));
        equal(new Set(edges).size, 1);
        const gap = await page.locator('#list-table thead').evaluate((head) => {
          const [, views, share] = [...head.querySelectorAll('th')].map((cell) => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return range.getBoundingClientRect();
          });
          return share.left - views.right;
        });
        equal(gap >= 8, true);
        await page.locator('#page-rows a.page').nth(1).click();
        await shows('3,000', 'views');
        equal(await isNarrow(), true);
        equal((await page.locator('#chip').boundingBox()).height < 48, true);
        await page.getByRole('combobox', { name: /^Find pages/ }).fill('nnn');
        await page.locator('#matches').getByRole('option').first().waitFor();
        equal(await isNarrow(), true);
        await barriers(`a long name is chosen, ${width} ${colorScheme}`);
      });
    }
  }
}
