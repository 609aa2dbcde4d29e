// Views that a scenario makes up: random numbers that are the same for each run, and recording, however many they are.

/** As many as a request may have. */
const INCREMENTS_MAX = 10_000;

/** Returns a function that returns numbers from 0 to 1, the same ones for each run. */
export function randomNumbers() {
  let state = 7;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

/**
 * Records the increments, and returns how many views they have.
 * @param {URL} url of a server that lets everybody record
 * @param {{ page: string, title?: string | null, views: number, at?: string }[]} increments
 */
export async function recordAll(url, increments) {
  const query = 'mutation ($increments: [PageViewIncrement!]!) { recordPageViews(input: {increments: $increments}) { views } }';
  let recorded = 0;
  for (let from = 0; from < increments.length; from += INCREMENTS_MAX) {
    const body = JSON.stringify({ query, variables: { increments: increments.slice(from, from + INCREMENTS_MAX) } });
    const response = await fetch(new URL('/graphql', url), { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const { data, errors } = await response.json();
    if (errors) throw new Error(JSON.stringify(errors));
    recorded += data.recordPageViews.views;
  }
  return recorded;
}
