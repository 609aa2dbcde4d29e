// The most viewed pages. A name leads to the same view of that page alone.

import { find, isolated, make, say } from './dom.js';
import { counted, number, share } from './format.js';
import { PAGES_FIRST, addressOf } from './state.js';

const STEPS = [PAGES_FIRST, 50, 200, 1_000];

/**
 * @param {import('./schema.js').ReportData['report']} report
 * @param {import('./state.js').View} view
 */
export function showPages({ pages, totals }, view) {
  const most = pages.nodes[0]?.share ?? 0;
  find('page-rows', HTMLTableSectionElement).replaceChildren(...pages.nodes.map((node) => row(node, most, view)));
  say(find('page-count', HTMLElement), counted(totals.pages, 'page'));
  const more = find('more-pages', HTMLAnchorElement);
  const next = STEPS.find((step) => step > view.first);
  more.hidden = !pages.pageInfo.hasNextPage || next === undefined;
  if (next !== undefined) more.href = addressOf({ ...view, first: next });
}

/**
 * @param {import('./schema.js').ReportData['report']['pages']['nodes'][number]} node
 * @param {number} most the greatest share
 * @param {import('./state.js').View} view
 */
function row(node, most, view) {
  const isChosen = view.filter?.kind === 'page';
  const page = isolated(node.page);
  const name = node.title ? [make('b', {}, isolated(node.title)), make('small', {}, page)] : [make('b', { class: 'path' }, page)];
  const href = addressOf({ ...view, filter: { kind: 'page', text: node.page }, first: PAGES_FIRST });
  const link = isChosen ? make('span', { class: 'page' }, ...name) : make('a', { class: 'page', href, title: node.page }, ...name);
  const bar = make('span', { class: 'bar' });
  bar.style.setProperty('--part', String(most > 0 ? node.share / most : 0));
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, link, bar),
    make('td', {}, number(node.views)),
    make('td', { class: 'share' }, share(node.share)),
  );
}
