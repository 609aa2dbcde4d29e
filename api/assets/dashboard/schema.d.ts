// Generated from schema.graphql and query.js: node tests/clients/dashboard-types.mjs --write

export type Granularity = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';
export type IntervalInput = { period: Period } | { range: TimeRange };
export type PageFilter = { names: string[] } | { prefix: string } | { contains: string } | { search: PageSearch };
export type PageSearch = { text: string; ignoreCase?: boolean };
export type Period = 'TODAY' | 'YESTERDAY' | 'LAST_24_HOURS' | 'LAST_7_DAYS' | 'LAST_30_DAYS' | 'THIS_MONTH' | 'LAST_MONTH' | 'LAST_12_MONTHS' | 'THIS_YEAR' | 'ALL_TIME';
export type RefreshStatus = 'FRESH' | 'REFRESHING' | 'FAILED' | 'OVERDUE';
export type ReportFilter = { interval?: IntervalInput | null; pages?: PageFilter | null; timeZone?: string | null; weekStart?: WeekStart | null };
export type TimeRange = { start: string; end: string };
export type WeekStart = 'MONDAY' | 'SUNDAY';

export type ElsewhereData = {
  report: {
    totals: {
      views: number;
      pages: number;
    };
    series: {
      start: string;
      end: string;
      localStart: string;
      views: number;
    }[];
  };
};
export type ElsewhereVariables = { filter?: ReportFilter | null; granularity: Granularity };

export type FreshnessData = {
  freshness: {
    lookedAt: string | null;
    nextRefreshAt: string | null;
    stalenessSeconds: number | null;
    status: RefreshStatus;
    error: string | null;
  };
};
export type FreshnessVariables = {  };

export type MatchesData = {
  report: {
    totals: {
      pages: number;
    };
    pages: {
      nodes: ({
        page: string;
        title: string | null;
        views: number;
      })[];
    };
  };
  beginning?: {
    totals: {
      pages: number;
    };
  };
};
export type MatchesVariables = { filter?: ReportFilter | null; first: number; beginning?: ReportFilter | null; mayBegin: boolean };

export type PagesData = {
  report: {
    totals: {
      views: number;
      pages: number;
    };
    pages: {
      nodes: ({
        page: string;
        title: string | null;
        views: number;
        share: number;
      })[];
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
  };
};
export type PagesVariables = { filter?: ReportFilter | null; first: number; after?: string | null };

export type PlaceData = {
  report: {
    totals: {
      pages: number;
    };
    pages: {
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
  };
};
export type PlaceVariables = { filter?: ReportFilter | null; first: number; after?: string | null };

export type ReportData = {
  report: {
    interval: {
      start: string;
      end: string;
      localStart: string;
      localEnd: string;
      exact: boolean;
    };
    countedSince: string | null;
    freshness: {
      lookedAt: string | null;
    };
    totals: {
      views: number;
      pages: number;
      comparableViews: number | null;
      previous: number | null;
      previousInterval: {
        start: string;
        end: string;
      } | null;
      change: number | null;
    };
    series: {
      start: string;
      localStart: string;
      views: number;
      complete: boolean;
      whole: boolean;
    }[];
    pages: {
      nodes: ({
        page: string;
        title: string | null;
        views: number;
        share: number;
      })[];
      pageInfo: {
        hasNextPage: boolean;
      };
    };
  };
};
export type ReportVariables = { filter?: ReportFilter | null; granularity: Granularity; first: number };
