// On which day weeks begin: on Sunday or on Monday, as where the visitor's language is spoken.

import { LOCALE } from './format.js';

/** Where weeks begin on Sunday or Saturday, for browsers that do not know; by what Unicode's CLDR says of the regions. */
const SUNDAY_REGIONS = new Set(
  'AG AS AU BD BR BS BT BW BZ CA CN CO DM DO ET GT GU HK HN ID IL IN JM JP KE KH KR LA MH MM MO MT MX MZ NI NP PA PE PH PK PR PT PY SA SG SV TH TT TW UM US VE VI WS YE ZA ZW AE AF BH DJ DZ EG IQ IR JO KW LY OM QA SD SY'.split(' '),
);

/** @type {'MONDAY' | 'SUNDAY'} */
export const weekStart = beginsOnMonday() ? 'MONDAY' : 'SUNDAY';

function beginsOnMonday() {
  const locale = /** @type {Intl.Locale & { weekInfo?: { firstDay: number }, getWeekInfo?: () => { firstDay: number } }} */ (LOCALE);
  const firstDay = (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay;
  // Weeks of the report begin on one of the two: of those that begin on Saturday, Sunday's are nearer.
  if (firstDay !== undefined) return firstDay < 6;
  return !SUNDAY_REGIONS.has(LOCALE.maximize().region ?? '');
}
