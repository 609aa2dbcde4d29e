// What the page asks, over one socket: what a view shows first comes by one subscription; queries bring what is looked for,
// and parts of lists behind the first. Their types are generated from this text and schema.graphql.

/** All that a view shows, of one moment, and again after every refresh. */
export const REPORT = `subscription Report(
  $filter: ReportFilter, $granularity: Granularity!, $compareTo: Comparison!, $compares: Boolean!, $first: Int!
  $orderBy: PageOrder!, $asSections: Boolean!, $folder: String!, $isPage: Boolean!, $page: String!, $beside: String!
) {
  report(filter: $filter) {
    interval { start end localStart localEnd exact }
    countedSince
    freshness { lookedAt }
    totals(compareTo: $compareTo) { views pages comparableViews previous previousInterval { start end } change }
    series(granularity: $granularity) { start localStart views complete whole }
    previous(compareTo: $compareTo) @include(if: $compares) {
      interval { start end localStart localEnd exact }
      series(granularity: $granularity) { start end localStart views }
    }
    pages(first: $first, orderBy: $orderBy, compareTo: $compareTo) @skip(if: $asSections) {
      totalCount
      nodes { page title views share comparableViews previous change }
      pageInfo { endCursor hasNextPage }
    }
    sections(prefix: $folder, first: $first, compareTo: $compareTo) @include(if: $asSections) {
      nodes { name isPage title pages views share comparableViews previous change }
      pageInfo { endCursor hasNextPage }
    }
    page(name: $page) @include(if: $isPage) { title firstViewed lastViewed }
    peak @include(if: $isPage) { localStart views }
    site @include(if: $isPage) {
      totals { views }
      series(granularity: $granularity) { views }
      sections(prefix: $beside, first: 8, compareTo: $compareTo) {
        nodes { name isPage title pages views share comparableViews previous change }
      }
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

/** A part of a list that the subscription does not bring. */
export const PART = `query Part(
  $filter: ReportFilter, $compareTo: Comparison!, $first: Int!, $after: String
  $orderBy: PageOrder!, $asSections: Boolean!, $folder: String!
) {
  report(filter: $filter) {
    pages(first: $first, after: $after, orderBy: $orderBy, compareTo: $compareTo) @skip(if: $asSections) {
      totalCount
      nodes { page title views share comparableViews previous change }
      pageInfo { endCursor hasNextPage }
    }
    sections(prefix: $folder, first: $first, after: $after, compareTo: $compareTo) @include(if: $asSections) {
      nodes { name isPage title pages views share comparableViews previous change }
      pageInfo { endCursor hasNextPage }
    }
  }
}`;

/** Behind which one a list goes on after so many. */
export const PLACE = `query Place(
  $filter: ReportFilter, $compareTo: Comparison!, $first: Int!, $after: String
  $orderBy: PageOrder!, $asSections: Boolean!, $folder: String!
) {
  report(filter: $filter) {
    pages(first: $first, after: $after, orderBy: $orderBy, compareTo: $compareTo) @skip(if: $asSections) {
      totalCount
      pageInfo { endCursor hasNextPage }
    }
    sections(prefix: $folder, first: $first, after: $after, compareTo: $compareTo) @include(if: $asSections) {
      pageInfo { endCursor hasNextPage }
    }
  }
}`;
