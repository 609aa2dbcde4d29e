// What the page asks: everything it shows comes from these subscriptions, over one socket. Their types are generated from
// this text and schema.graphql.

/** All that a view shows, of one moment, and again after every refresh. */
export const REPORT = `subscription Report($filter: ReportFilter, $granularity: Granularity!, $first: Int!) {
  report(filter: $filter) {
    interval { start end localStart localEnd exact }
    countedSince
    freshness { lookedAt }
    totals(compareTo: PREVIOUS_PERIOD) { views pages comparableViews previous previousInterval { start end } change }
    series(granularity: $granularity) { start localStart views complete whole }
    pages(first: $first) {
      nodes { page title views share }
      pageInfo { hasNextPage }
    }
  }
}`;

/** What no report tells: that a refresh is under way, failed, or does not come. */
export const FRESHNESS = `subscription Freshness {
  freshness { lookedAt nextRefreshAt stalenessSeconds status error }
}`;

/** Where there are views at all; asked only while a view has none. */
export const ELSEWHERE = `subscription Elsewhere($filter: ReportFilter, $granularity: Granularity!) {
  report(filter: $filter) {
    totals { views }
    series(granularity: $granularity) { start end localStart views }
  }
}`;
