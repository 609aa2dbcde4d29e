// The scenario that each GraphQL client runs: it records views of a page, follows the live report until they are in it, asks for
// the report, and gets the error of a mistake.
import { print } from './common.mjs';

const REPORT_FIELDS = 'totals { views pages } pages { nodes { page title views } }';

export const MUTATION = 'mutation Record($input: RecordPageViewsInput!) { recordPageViews(input: $input) { increments views recordedAt duplicate } }';
export const QUERY = `query Report($filter: ReportFilter) { report(filter: $filter) { ${REPORT_FIELDS} } }`;
export const SUBSCRIPTION = `subscription Live($filter: ReportFilter) { report(filter: $filter) { ${REPORT_FIELDS} } }`;

export const VIEWS = 3;
export const AT = '2026-11-20T10:00:00Z';

/**
 * Prints a line with what the client got. The functions take a document and variables: `mutate` and `query` resolve to
 * the data, or reject with an error whose `errors` are those of the answer; `subscribe` calls back with the data.
 */
export async function runScenario(client, { mutate, query, subscribe }) {
  const page = `/${client}`;
  const filter = { pages: { names: [page] }, interval: { range: { start: '2026-11-20T00:00:00Z', end: '2026-11-21T00:00:00Z' } } };
  const input = { increments: [{ page, views: VIEWS, at: AT, title: client }], idempotencyKey: client };
  const { recordPageViews: recorded } = await mutate(MUTATION, { input });
  const live = await new Promise((resolve, reject) => {
    const next = ({ report }) => report.totals.views === VIEWS && resolve(report);
    subscribe(SUBSCRIPTION, { filter }, next, reject);
  });
  const { report } = await query(QUERY, { filter });
  const wrong = { increments: [{ page, at: '2026-11-20 10:00' }] };
  const { errors } = await mutate(MUTATION, { input: wrong }).then(() => ({ errors: [] }), (error) => error);
  await print({ recorded, live, report, errors: errors.map(({ message, extensions }) => ({ message, code: extensions.code })) });
}
