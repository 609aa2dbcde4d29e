// Pages of several sites that count their views with the script, used in Chromium as people do.
//
//   node views.mjs URL [--limit SECONDS]
//
// URL has the name of the service, and of no port. Prints the port of the pages' server, and reads a line with the port of
// the service and the tags for the pages. Then it prints one line for each scenario: what people have viewed by then, by the
// names of the pages. After each it waits for a line.
import { createServer } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { launch, openWithoutDebugger, until } from './browser.mjs';
import { failAfter, fail, print, readArguments } from './common.mjs';

const USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36';
const { url: named, limit } = readArguments('views.mjs URL', {});
let scenario = 'Chromium to start';
failAfter(limit, () => scenario);

// The server of all pages. What a page has beside the tags is set by its scenario.
const pages = new Map();
const requests = [];
const server = createServer(async (request, response) => {
  const { host } = request.headers;
  const { pathname } = new URL(request.url, `http://${host}`);
  requests.push({ url: request.url, purpose: request.headers['sec-purpose'] });
  const page = pages.get(pathname);
  if (!page) return response.writeHead(404).end();
  const { title = `Title of ${pathname}`, tags: ownTags = tags, head = '', body = '', type = 'text/html', headers = {} } = page;
  const text = await page.text;
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, ...headers });
  if (text) return response.end(text);
  response.end(`<!doctype html><html lang="en"><head><title>${title}</title>\n${ownTags}\n${head}</head><body>${body}</body></html>`);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await print({ port });
const { port: servicePort, tags } = JSON.parse((await lines.next()).value);
const service = `http://${named.hostname}:${servicePort}`;
const tag = tags.split('<noscript>')[0];

const one = `http://one.example:${port}`;
const two = `http://two.example:${port}`;
const evil = `http://evil.example:${port}`;
const expected = {};

/** Notes that a person has viewed a page. */
function viewed(name, times = 1) {
  expected[name] = (expected[name] ?? 0) + times;
}

/** Lets the test compare what is recorded with what was viewed. */
async function compare() {
  await print({ scenario, expected });
  await lines.next();
}

function equal(actual, wanted) {
  const [a, b] = [actual, wanted].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${a} is not ${b}`);
}

/** How many requests the service has refused with FORBIDDEN. */
async function refused() {
  const metrics = await (await fetch(`http://127.0.0.1:${servicePort}/metrics`)).text();
  return Number(/^analytics_errors_total\{code="FORBIDDEN"\} (\d+)$/m.exec(metrics)[1]);
}

/** A tag of the script with more attributes. */
function tagWith(attributes) {
  return tag.replace('<script', `<script ${attributes}`);
}

const RULES = '--host-resolver-rules=MAP *.example 127.0.0.1';
const HUMAN = '--disable-blink-features=AutomationControlled';

async function start(more = [RULES, HUMAN], options = {}) {
  const browser = await launch(limit, more, { ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  const context = await browser.newContext({ userAgent: USER_AGENT, ...options });
  context.setDefaultTimeout(limit * 1000);
  return { browser, context, page: await context.newPage() };
}

const scenarios = {
  async 'pages of two sites, and reloads'({ page }) {
    pages.set('/load', {});
    for (const [site, name] of [[one, '/load'], [two, '/two/load']]) {
      await page.goto(`${site}/load?utm_source=x#part`);
      viewed(name);
      for (let times = 0; times < 2; times += 1) {
        await page.reload();
        viewed(name);
      }
    }
  },

  async 'pages that are left at once'({ context, page }) {
    const hops = 10;
    for (let hop = 0; hop < hops; hop += 1) {
      const next = hop + 1 < hops ? `${hop % 2 ? one : two}/hop/${hop + 1}` : `${one}/end`;
      pages.set(`/hop/${hop}`, { head: `<script>addEventListener('DOMContentLoaded', () => location.replace('${next}'))</script>` });
      viewed(hop % 2 ? `/two/hop/${hop}` : `/hop/${hop}`);
    }
    pages.set('/end', {});
    await page.goto(`${one}/hop/0`).catch(() => {});
    await page.waitForURL(`${one}/end`);
    viewed('/end');
    // A window that closes as soon as its page is there.
    pages.set('/closes', { head: `<script>addEventListener('DOMContentLoaded', () => close())</script>` });
    const closed = context.waitForEvent('page').then((popup) => popup.isClosed() || popup.waitForEvent('close'));
    await page.evaluate(() => { open('/closes'); });
    await closed;
    viewed('/closes');
  },

  async 'a single-page app'({ page }) {
    pages.set('/app', { title: 'App' });
    await page.goto(`${one}/app`);
    viewed('/app');
    const go = (method, path, title) =>
      page.evaluate(([method, path, title]) => {
        history[method]({}, '', path);
        if (title) document.title = title;
      }, [method, path, title]);
    await go('pushState', '/app/a', 'A');
    viewed('/app/a');
    await go('pushState', '/app/a?tab=2');
    await go('replaceState', '/app/a?tab=3#part');
    await page.evaluate(() => { location.hash = 'other'; });
    await go('pushState', '/app/b', 'B');
    viewed('/app/b');
    await go('pushState', '/app/c');
    viewed('/app/c');
    await go('replaceState', '/app/d', 'D');
    viewed('/app/d');
    const back = async (path) => {
      await page.evaluate(() => history.back());
      await page.waitForFunction((path) => location.pathname + location.search + location.hash === path, path);
    };
    await back('/app/b');
    viewed('/app/b');
    await back('/app/a?tab=3#other');
    viewed('/app/a');
    await back('/app/a?tab=3#part');
    await back('/app/a');
    await page.evaluate(() => history.go(3));
    await page.waitForFunction(() => location.pathname === '/app/b');
    viewed('/app/b');
    pages.set('/app/b', { title: 'App' });
    await page.reload();
    viewed('/app/b');
  },

  async 'back and forward, from the cache of pages and by loading'({ page }) {
    for (const [kind, head] of [['cached', ''], ['loaded', '<script>addEventListener("unload", () => {})</script>']]) {
      const paths = [1, 2].map((number) => `/${kind}/${number}`);
      pages.set(paths[0], { head, body: `<a href="${paths[1]}">next</a>` });
      pages.set(paths[1], { head });
      await page.goto(one + paths[0]);
      viewed(paths[0]);
      await page.evaluate(() => { window.isTheSame = true; });
      await page.getByRole('link', { name: 'next' }).click();
      await page.waitForURL(one + paths[1]);
      viewed(paths[1]);
      for (const [step, path] of [[-1, paths[0]], [1, paths[1]], [-1, paths[0]]]) {
        const shown = until(() => page.evaluate((path) => location.pathname === path && document.readyState === 'complete', path).catch(() => false));
        await page.evaluate((step) => { setTimeout(() => history.go(step)); }, step).catch(() => {});
        await shown;
        viewed(path);
      }
      equal(await page.evaluate(() => Boolean(window.isTheSame)), kind === 'cached');
    }
  },

  async 'policies of pages'({ page }) {
    const hash = /sha384-[^"]+/.exec(tag)[0];
    const strict = `default-src 'none'; connect-src ${service}; img-src ${service}; require-trusted-types-for 'script'; trusted-types 'none'; script-src`;
    const isolated = { 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-opener-policy': 'same-origin' };
    for (const [name, headers] of Object.entries({
      host: { 'content-security-policy': `${strict} ${service}`, ...isolated },
      hash: { 'content-security-policy': `${strict} '${hash}'` },
      'no-referrer': { 'referrer-policy': 'no-referrer' },
      'same-origin': { 'referrer-policy': 'same-origin' },
      'strict-origin': { 'referrer-policy': 'strict-origin' },
    })) {
      pages.set(`/policy/${name}`, { headers });
      await page.goto(`${one}/policy/${name}`);
      viewed(`/policy/${name}`);
    }
  },

  async 'a browser without keepalive, which has beacons'({ context }) {
    const page = await context.newPage();
    await page.addInitScript(() => { delete Request.prototype.keepalive; });
    pages.set('/beacon', {});
    await page.goto(`${one}/beacon`);
    viewed('/beacon');
    await page.close();
  },

  async 'attributes of the tag'({ page }) {
    pages.set('/named', { tags: tagWith('data-page="/name"') });
    await page.goto(`${two}/named`);
    viewed('/two/name');
    await page.evaluate(() => history.pushState({}, '', '/named/other'));
    viewed('/two/named/other');

    pages.set('/manual', { tags: tagWith('data-manual') });
    await page.goto(`${one}/manual`);
    await page.evaluate(() => history.pushState({}, '', '/manual/other'));
    await page.evaluate(() => { analytics.view({ page: '/chapter', title: 'Chapter' }); });
    viewed('/chapter');
    await page.evaluate(() => { analytics.view(); analytics.view(null); });
    viewed('/manual/other', 2);
    // What nobody can count is no error in the page.
    await page.evaluate(() => { analytics.view({ page: 1n }); analytics.view({ page: {} }); analytics.view(7); });
    viewed('/manual/other');

    const script = await (await fetch(`http://127.0.0.1:${servicePort}/count.js`)).text();
    pages.set('/own/count.js', { text: script, type: 'text/javascript' });
    pages.set('/own', { tags: `<script src="/own/count.js" data-service="${service}"></script>` });
    await page.goto(`${one}/own`);
    viewed('/own');

    pages.set('/twice', { tags: tag + tag });
    await page.goto(`${one}/twice`);
    viewed('/twice');
  },

  async 'traces in the browser'({ context, page }) {
    const globals = () => page.evaluate(() => Object.getOwnPropertyNames(window));
    pages.set('/bare', { tags: '' });
    pages.set('/traces', {});
    const errors = [];
    page.on('console', (message) => { if (message.type() === 'error' && message.text().includes(service)) errors.push(message.text()); });
    await page.goto(`${one}/bare`);
    const before = await globals();
    await page.goto(`${one}/traces`);
    viewed('/traces');
    equal((await globals()).filter((name) => !before.includes(name)), ['analytics']);
    equal(await page.evaluate(async () => [document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]), ['', 0, 0, 0]);
    equal(await context.cookies(), []);
    await page.waitForLoadState('networkidle');
    equal(errors, []);
  },

  async 'pages of other sites'({ page }) {
    const form = `<form method="post" action="${service}/views" target="frame"><input name="page" value="/forged"></form><iframe name="frame"></iframe>`;
    const sandboxed = `<iframe sandbox="allow-scripts" srcdoc="<script>fetch('${service}/views', { method: 'POST', body: 'page=/forged', mode: 'no-cors' })</script>"></iframe>`;
    pages.set('/load', { body: `${form}${sandboxed}<img src="${service}/view.gif?page=/forged&site=${one}">` });
    const before = await refused();
    await page.goto(`${evil}/load`);
    await page.evaluate(async (service) => {
      document.forms[0].submit();
      navigator.sendBeacon(`${service}/views`, JSON.stringify({ page: '/forged' }));
      const text = await fetch(`${service}/views`, { method: 'POST', body: 'page=/forged' }).then((response) => response.text(), () => 'unreadable');
      if (text !== 'unreadable') throw new Error(text);
    }, service);
    // Of the script, the image, the form, the frame, the beacon and the call.
    await until(async () => (await refused()) === before + 6);
  },
};

/** Serves an address that answers only when the returned function is called: a page waits for it. */
function hold(path) {
  let release;
  pages.set(path, { text: new Promise((resolve) => { release = () => resolve('now'); }) });
  return release;
}

/** Waits until a page has reported this text; a prerendered page, or one that is not. */
function reported(text, isPrerendered = false) {
  return until(() => requests.some(({ url, purpose }) => url === `/report?${text}` && Boolean(purpose) === isPrerendered));
}

/**
 * A debugger would keep pages from being prerendered, and shows all tabs at once. So these pages follow their links and
 * report by themselves.
 */
function openAlone(path) {
  pages.set('/report', { text: 'noted' });
  const more = [RULES, HUMAN, `--user-agent=${USER_AGENT}`, `--unsafely-treat-insecure-origin-as-secure=${one}`, '--disable-popup-blocking'];
  return openWithoutDebugger(one + path, more);
}

async function background() {
  const state = `fetch('/report?background-' + document.visibilityState)`;
  pages.set('/opens', { head: `<script>
    document.addEventListener('visibilitychange', () => { location.href = '/background'; });
    addEventListener('load', () => open('/foreground'));</script>` });
  pages.set('/foreground', { head: `<script>fetch('/close').then(() => close())</script>` });
  pages.set('/background', { head: `<script>
    addEventListener('load', () => { history.replaceState({}, '', '/background/now'); ${state}; });
    document.addEventListener('visibilitychange', () => ${state});</script>` });
  const close = hold('/close');
  scenario = 'a tab in the background';
  const end = openAlone('/opens');
  viewed('/opens');
  viewed('/foreground');
  await reported('background-hidden');
  await compare();
  scenario = 'a tab that comes to the foreground';
  close();
  await reported('background-visible');
  viewed('/background/now');
  await compare();
  await end();
}

async function prerender() {
  const rules = { prerender: [{ source: 'list', urls: ['/prerendered'], eagerness: 'immediate' }] };
  const report = `fetch('/report?' + (performance.getEntriesByType('navigation')[0].activationStart > 0))`;
  pages.set('/speculates', {
    head: `<script type="speculationrules">${JSON.stringify(rules)}</script>`,
    body: `<a href="/prerendered">next</a><script>fetch('/go').then(() => document.links[0].click())</script>`,
  });
  pages.set('/prerendered', { head: `<script>addEventListener('load', () => ${report})</script>
    <script>document.addEventListener('prerenderingchange', () => ${report})</script>` });
  const follow = hold('/go');
  scenario = 'a page that is prerendered, before it is seen';
  const end = openAlone('/speculates');
  viewed('/speculates');
  await reported('false', true);
  await compare();
  scenario = 'a page that was prerendered, when it is seen';
  follow();
  await reported('true');
  viewed('/prerendered');
  await compare();
  await end();
}

const withoutScripts = async ({ page }) => {
  pages.set('/without/scripts', {});
  await page.goto(`${two}/without/scripts`);
  viewed('/two/without/scripts');
  const image = (policy) => `<img src="${service}/view.gif?page=/article&amp;site=${one}" alt="" ${policy}>`;
  pages.set('/reader', { tags: '', body: image('referrerpolicy="no-referrer"') });
  await page.goto(`${evil}/reader`);
  viewed('/article');
  pages.set('/mailer', { tags: '', body: image('') });
  await page.goto(`${evil}/mailer`);
};

const automated = async ({ page }) => {
  const sent = [];
  page.on('request', (request) => { if (new URL(request.url()).pathname === '/views') sent.push(request.url()); });
  pages.set('/automated', {});
  await page.goto(`${one}/automated`);
  equal(await page.evaluate(() => typeof window.analytics), 'object');
  pages.set('/automated/always', { tags: tagWith('data-always') });
  await page.goto(`${one}/automated/always`);
  viewed('/automated/always');
  await until(() => sent.length > 0);
  equal(sent.length, 1);
};

const local = async ({ page }) => {
  const sent = [];
  page.on('request', (request) => { if (new URL(request.url()).pathname === '/views') sent.push(request.url()); });
  pages.set('/local', {});
  const folder = mkdtempSync(join(tmpdir(), 'page-'));
  writeFileSync(join(folder, 'page.html'), tag);
  const locals = ['localhost', 'a.localhost', '127.0.0.1'].map((host) => `http://${host}:${port}/local`);
  for (const address of [...locals, `file://${folder}/page.html`]) {
    await page.goto(address);
    equal([address, await page.evaluate(() => typeof window.analytics)], [address, 'object']);
  }
  rmSync(folder, { recursive: true });
  equal(sent, []);
  pages.set('/local/always', { tags: tagWith('data-always') });
  await page.goto(`http://localhost:${port}/local/always`);
  viewed('/local/always');
};

const withoutCookies = async ({ context, page }) => {
  pages.set('/without/cookies', {});
  for (const [site, name] of [[one, '/without/cookies'], [two, '/two/without/cookies']]) {
    await page.goto(`${site}/without/cookies`);
    viewed(name);
  }
  equal(await context.cookies(), []);
};

try {
  const violations = [];
  const run = async (opened, all) => {
    opened.page.on('pageerror', (error) => violations.push(`${scenario}: ${error.message}`));
    for (const [name, steps] of Object.entries(all)) {
      scenario = name;
      await steps(opened);
      await compare();
    }
    await opened.browser.close();
  };
  await run(await start(), scenarios);
  await prerender();
  await background();
  await run(await start([RULES, HUMAN, '--test-third-party-cookie-phaseout']), { 'third-party cookies are blocked': withoutCookies });
  await run(await start([RULES, HUMAN], { javaScriptEnabled: false }), { 'no scripts': withoutScripts });
  await run(await start([RULES]), { 'automated browsers': automated });
  await run(await start(), { 'pages of this machine': local });
  equal(violations, []);
  process.exit(0);
} catch (error) {
  fail(`${scenario}: ${error.stack}`);
}
