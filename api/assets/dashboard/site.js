// What the server's settings tell the page: its title, and the sites whose pages are counted.

import { find, say } from './dom.js';
import { readToken } from './token.js';

/**
 * @typedef {{ origin: string, prefix: string }} Site
 * @typedef {{ title: string | null, sites: Site[] }} SiteSettings
 */

const ADDRESS = '/dashboard/settings.json';
const TITLE = 'Analytics';

/** @type {Promise<SiteSettings>} */
let settings = Promise.resolve({ title: null, sites: [] });
/** What the document's title begins with. @type {string | null} */
let part = null;

/** The settings as they were last asked for. Never rejects. */
export const siteSettings = () => settings;

/** Asks for the settings, which depend on the token, and shows the title. */
export async function readSiteSettings() {
  settings = ask(settings);
  const { title } = await settings;
  say(find('site-title', HTMLElement), title ?? TITLE);
  await showTitle();
}

/**
 * Names what is shown in the title of the document, before that of the site.
 * @param {string | null} name nothing: the title of the site alone
 */
export async function titleOfDocument(name) {
  part = name;
  await showTitle();
}

async function showTitle() {
  const { title } = await settings;
  document.title = part === null ? (title ?? TITLE) : `${part} · ${title ?? TITLE}`;
}

/**
 * @param {Promise<SiteSettings>} before what is known as long as there is no answer
 * @returns {Promise<SiteSettings>}
 */
async function ask(before) {
  const token = readToken();
  try {
    const response = await fetch(ADDRESS, { headers: token === null ? {} : { authorization: `Bearer ${token}` } });
    if (response.ok) return await response.json();
  } catch {
    // The page works without them; the feed tells of a server that has gone.
  }
  return before;
}
