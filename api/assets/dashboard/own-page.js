// A page of its own: its title, where it is, its best day, its first and last view, its share of the site over time, and
// what is beside it.

import { find, isolated, make, mark, say } from './dom.js';
import { alignedShare, bucket, counted, date, number } from './format.js';
import { itemsOf, listRows } from './list-rows.js';
import { sectionEntry } from './list-part.js';
import { pageOf, sectionOf } from './pages.js';
import { Rows } from './rows.js';
import { ShareLine } from './share-line.js';
import { siteSettings } from './site.js';
import { addressOf, zoneOf } from './state.js';

/** @typedef {import('./state.js').View} View */
/** @typedef {import('./list-part.js').Report} Report */

/** @param {View} view */
export function ownPageVariables({ filter }) {
  const page = filter?.kind === 'page' ? filter.text : '';
  return { isPage: page !== '', page, beside: folderOfPage(page) };
}

/**
 * The section that a page is in: a slash at the very beginning is none.
 * @param {string} page
 */
function folderOfPage(page) {
  const slash = page.lastIndexOf('/');
  return slash > 0 ? page.slice(0, slash + 1) : '';
}

export class OwnPage {
  #head = find('own-head', HTMLElement);
  #card = find('own-page', HTMLElement);
  #link = find('own-link', HTMLAnchorElement);
  #line = new ShareLine();
  #name = '';
  #shares = new Rows(find('own-share-rows', HTMLTableSectionElement), { key: (/** @type {Shares} */ { localStart }) => localStart, create: makeShares, update: showShares });
  #beside = listRows(find('own-beside-rows', HTMLTableSectionElement));

  /**
   * @param {Report} report
   * @param {View} view
   * @param {import('./schema.js').Granularity} granularity
   */
  show(report, view, granularity) {
    const { filter } = view;
    const { page, site, peak, series, totals } = report;
    const isShown = filter?.kind === 'page' && site !== undefined;
    mark(this.#head, 'hidden', isShown && page ? null : '');
    mark(this.#card, 'hidden', isShown && totals.views > 0 ? null : '');
    if (!isShown) return;
    const name = filter.text;
    const title = find('own-title', HTMLElement);
    const path = find('own-name', HTMLElement);
    say(title, isolated(page?.title ?? name));
    mark(title, 'title', page?.title ?? name);
    say(path, isolated(page?.title ? name : ''));
    mark(path, 'title', page?.title ? name : null);
    this.#showLink(name);

    const zone = zoneOf(view);
    say(find('own-best', HTMLElement), peak ? `${bucket(peak.localStart, 'DAY')}: ${counted(peak.views, 'view')}` : '–');
    say(find('own-first', HTMLElement), momentOf(page?.firstViewed, zone));
    say(find('own-last', HTMLElement), momentOf(page?.lastViewed, zone));
    const part = site.totals.views > 0 ? totals.views / site.totals.views : 0;
    say(find('own-share', HTMLElement), `${alignedShare(part)} of ${counted(site.totals.views, 'view')}`);

    const shares = series.map(({ localStart, views }, index) => ({ localStart, views, all: site.series[index]?.views ?? 0, granularity }));
    this.#line.show(shares.map(({ views, all }) => (all > 0 ? views / all : null)), shares.map(({ localStart }) => bucket(localStart, granularity)));
    this.#shares.show(shares);

    const folder = folderOfPage(name);
    say(find('own-folder', HTMLElement), ...(folder ? ['In ', isolated(folder)] : ['On the site']));
    const folderLink = find('own-folder-link', HTMLAnchorElement);
    mark(folderLink, 'href', addressOf(sectionOf({ ...view, filter: null }, folder)));
    mark(find('own-beside', HTMLTableElement), 'data-compared', String(Boolean(report.previous)));
    this.#beside.show(
      itemsOf(site.sections.nodes.map(sectionEntry), 0, (entry) => {
        if (entry.pages !== null) return addressOf(sectionOf({ ...view, filter: null }, entry.name));
        return entry.name === name ? null : addressOf(pageOf(view, entry.name));
      }),
    );
  }

  /** @param {string} name */
  async #showLink(name) {
    this.#name = name;
    const { sites } = await siteSettings();
    if (name !== this.#name) return;
    const href = urlOf(name, sites);
    mark(this.#link, 'href', href);
    mark(this.#link, 'hidden', href === null ? '' : null);
  }
}

/**
 * Where a page really is: on the site with the longest prefix that fits its name.
 * @param {string} name
 * @param {import('./site.js').Site[]} sites
 */
function urlOf(name, sites) {
  const fitting = sites.filter(({ prefix }) => name.startsWith(`${prefix}/`)).sort((a, b) => b.prefix.length - a.prefix.length);
  const [site] = fitting;
  if (!site) return null;
  try {
    const url = new URL(site.origin + name.slice(site.prefix.length));
    // A name is no address: it may not lead to another server.
    return ['http:', 'https:'].includes(url.protocol) && url.origin === site.origin ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * @param {string | null | undefined} at
 * @param {string} zone
 */
const momentOf = (at, zone) => (at ? date(Date.parse(at), zone, { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' }) : '–');

/** @typedef {{ localStart: string, views: number, all: number, granularity: import('./schema.js').Granularity }} Shares the views of a bucket: of the page, and of the site */

function makeShares() {
  const [when, views, all, share] = [make('th', { scope: 'row' }), make('td', { class: 'number' }), make('td'), make('td', { class: 'share' })];
  return { element: make('tr', {}, when, views, all, share), when, views, all, share };
}

/**
 * @param {ReturnType<typeof makeShares>} row
 * @param {Shares} shares
 */
function showShares(row, { localStart, views, all, granularity }) {
  say(row.when, bucket(localStart, granularity));
  say(row.views, number(views));
  say(row.all, number(all));
  say(row.share, all > 0 ? alignedShare(views / all) : '–');
}
