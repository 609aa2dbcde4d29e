// Views of 13 months on 1,047 pages, as a site of some size has them: the same for each run but for the dates.
import { randomNumbers, recordAll } from './made-views.mjs';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** 13 months and today. */
export const DAYS = 396;
export const PAGES = 1_047;
/** Pages that are viewed every day; the others' views are on one day of each 30. */
const DAILY = 100;
const VIEWS_A_DAY = 4_000;
/** The day on which one page is read by many, counted back from today. */
const SPIKE_AGO = 80;
const SECTIONS = ['blog', 'docs/start', 'docs/guides', 'docs/reference', 'products', 'help', 'en/news', 'de/news'];
const WORDS = ['freshness', 'cookies', 'reports', 'import', 'months', 'privacy', 'counting', 'pages', 'time-zones', 'backups'];
const FIRST = [
  ['/', 'Home'],
  ['/pricing', 'Pricing'],
  ['/blog/launch', 'We are open'],
  ['/docs/start/', 'Getting started'],
  ['/about', 'About us, and how we count views without cookies, without consent banners, and without selling anybody’s attention to anybody else'],
  [`/search?q=${'long-'.repeat(199)}`, null],
  ['example.org/elsewhere', 'A page of another site'],
];

/** The name and the title of the page with this rank. */
function pageOf(rank) {
  if (FIRST[rank]) return FIRST[rank];
  const [section, word] = [SECTIONS[rank % SECTIONS.length], WORDS[rank % WORDS.length]];
  return [`/${section}/${word}-${rank}`, rank % 5 === 0 ? null : `${word[0].toUpperCase()}${word.slice(1).replace('-', ' ')}, part ${rank}`];
}

/**
 * Records the views, and returns how many they are.
 * @param {URL} url of a server that lets everybody record
 */
export async function recordYear(url) {
  const random = randomNumbers();
  const thisHour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const weights = Array.from({ length: PAGES }, (_, rank) => 1 / (rank + 1.5) ** 0.9);
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  const increments = [];
  for (let ago = 0; ago < DAYS; ago += 1) {
    const at = new Date(thisHour - ago * DAY_MS);
    const weekday = [0, 6].includes(at.getUTCDay()) ? 0.55 : 1;
    const growth = 1 - (0.5 * ago) / DAYS;
    for (let rank = 0; rank < PAGES; rank += 1) {
      const isNew = rank % 41 === 15 && ago > 5;
      const isGone = rank % 43 === 20 && ago < 8;
      const days = rank < DAILY ? 1 : 30;
      if (isNew || isGone || (ago + rank) % days !== 0) continue;
      const spike = rank === 2 && ago === SPIKE_AGO ? 60 : 1;
      const views = Math.round((VIEWS_A_DAY * days * weekday * growth * spike * weights[rank] * (0.6 + 0.8 * random())) / all);
      const [page, title] = pageOf(rank);
      if (views > 0) increments.push({ page, title, views, at: at.toISOString() });
    }
  }
  return recordAll(url, increments);
}
