// Shared by the tests of pages: Chromium, and a check of violations that no page may have.
import { createRequire } from 'node:module';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { fail, log } from './common.mjs';

const EXECUTABLE = process.env.CHROMIUM || '/usr/bin/chromium';
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-proxy-server'];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const POLL_MS = 25;

/** Chromium is $CHROMIUM, else /usr/bin/chromium; `more` are arguments of its own, `options` those of Playwright. */
export async function launch(limit, more = [], options = {}) {
  const launching = chromium.launch({
    executablePath: EXECUTABLE,
    timeout: limit * 1000,
    ...options,
    args: [...ARGUMENTS, ...more],
  });
  return launching.catch((error) => fail(`Chromium does not start: ${error.message}`));
}

/** Opens a page in Chromium without a debugger, with which nothing is prerendered. Returns what closes it. */
export function openWithoutDebugger(address, more) {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const child = spawn(EXECUTABLE, ['--headless=new', `--user-data-dir=${profile}`, ...ARGUMENTS, ...more, address], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  process.once('exit', () => child.kill());
  return async () => {
    child.kill();
    await ended;
    // Its other processes may still write.
    await until(() => rm(profile, { recursive: true, force: true }).then(() => true, () => false));
  };
}

/**
 * Records violations of a page: other hosts, errors, a broken policy, missing files. While
 * `isAway()`, its server may be missed.
 */
export async function watch(page, host, isAway = () => false) {
  const found = [];
  const report = (what) => {
    log(`violation: ${what}`);
    found.push(what);
  };
  const ours = (address) => ['data:', 'blob:'].includes(new URL(address).protocol) || new URL(address).host === host;
  await page.context().route('**/*', (route) => {
    const address = route.request().url();
    if (ours(address)) return route.continue();
    report(`request to another origin: ${address}`);
    return route.abort();
  });
  page.on('websocket', (socket) => {
    if (!ours(socket.url())) report(`socket to another origin: ${socket.url()}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) report(`${response.status()} for ${response.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !isAway()) report(`console error: ${message.text()}`);
  });
  page.on('pageerror', (error) => report(`uncaught in the page: ${error.message}`));
  page.on('dialog', (dialog) => {
    report(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.exposeFunction('reportPolicyViolation', (text) => report(`content security policy: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.reportPolicyViolation(`${event.effectiveDirective} forbids ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  return found;
}

/** Calls `probe` until it returns something true. */
export async function until(probe) {
  for (;;) {
    const result = await probe();
    if (result) return result;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** What axe finds that is serious or critical, one line each. */
export async function findBarriers(page) {
  // Through the debugger: the page's own policy forbids to evaluate a text.
  const debug = await page.context().newCDPSession(page);
  await debug.send('Runtime.evaluate', { expression: `${AXE};undefined` });
  const { result } = await debug.send('Runtime.evaluate', {
    expression: `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => JSON.stringify(violations))`,
    awaitPromise: true,
    returnByValue: true,
  });
  await debug.detach();
  const violations = JSON.parse(result.value);
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
}
