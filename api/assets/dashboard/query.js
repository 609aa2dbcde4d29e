// What the page asks, over one socket: what a view shows first comes by one subscription; queries bring what is looked for,
// and parts of lists behind the first. Their types are generated from this text and schema.graphql.

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
    totals { views pages }
    series(granularity: $granularity) { start end localStart views }
  }
}`;

/** The pages that a text finds, while it is typed; and whether any name begins with it, if it looks like a beginning. */
export const MATCHES = `query Matches($filter: ReportFilter, $first: Int!, $beginning: ReportFilter, $mayBegin: Boolean!) {
  report(filter: $filter) {
    totals { pages }
    pages(first: $first) { nodes { page title views } }
  }
  beginning: report(filter: $beginning) @include(if: $mayBegin) { totals { pages } }
}`;

/** A part of the list of pages that the subscription does not bring. */
export const PAGES = `query Pages($filter: ReportFilter, $first: Int!, $after: String) {
  report(filter: $filter) {
    totals { views pages }
    pages(first: $first, after: $after) {
      nodes { page title views share }
      pageInfo { endCursor hasNextPage }
    }
  }
}`;

/** How many pages the list has, and behind which one it goes on after so many. */
export const PLACE = `query Place($filter: ReportFilter, $first: Int!, $after: String) {
  report(filter: $filter) {
    totals { pages }
    pages(first: $first, after: $after) { pageInfo { endCursor hasNextPage } }
  }
}`;
