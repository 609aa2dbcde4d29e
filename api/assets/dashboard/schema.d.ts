// Generated from schema.graphql and query.js: node tests/clients/dashboard-types.mjs --write

export type Comparison = 'PREVIOUS_PERIOD' | 'SAME_PERIOD_LAST_YEAR' | 'SAME_WEEKDAYS_LAST_YEAR';
export type Granularity = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';
export type IntervalInput = { period: Period } | { range: TimeRange };
export type PageCombination = { any?: PageCondition[] | null; not?: PageCondition[] | null };
export type PageCondition = { names: string[] } | { prefix: string } | { contains: string } | { search: PageSearch } | { group: string };
export type PageFilter = { names: string[] } | { prefix: string } | { contains: string } | { search: PageSearch } | { group: string } | { combined: PageCombination };
export type PageOrder = 'VIEWS' | 'CHANGE' | 'NAME';
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

export type PartData = {
  report: {
    pages?: {
      totalCount: number;
      nodes: ({
        page: string;
        title: string | null;
        views: number;
        share: number;
        comparableViews: number | null;
        previous: number | null;
        change: number | null;
      })[];
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
    sections?: {
      nodes: ({
        name: string;
        isPage: boolean;
        title: string | null;
        pages: number;
        views: number;
        share: number;
        comparableViews: number | null;
        previous: number | null;
        change: number | null;
      })[];
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
  };
};
export type PartVariables = { filter?: ReportFilter | null; compareTo: Comparison; first: number; after?: string | null; orderBy: PageOrder; asSections: boolean; folder: string };

export type PlaceData = {
  report: {
    pages?: {
      totalCount: number;
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
    sections?: {
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
  };
};
export type PlaceVariables = { filter?: ReportFilter | null; compareTo: Comparison; first: number; after?: string | null; orderBy: PageOrder; asSections: boolean; folder: string };

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
    previous?: {
      interval: {
        start: string;
        end: string;
        localStart: string;
        localEnd: string;
        exact: boolean;
      };
      series: {
        start: string;
        end: string;
        localStart: string;
        views: number;
      }[];
    } | null;
    pages?: {
      totalCount: number;
      nodes: ({
        page: string;
        title: string | null;
        views: number;
        share: number;
        comparableViews: number | null;
        previous: number | null;
        change: number | null;
      })[];
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
    sections?: {
      nodes: ({
        name: string;
        isPage: boolean;
        title: string | null;
        pages: number;
        views: number;
        share: number;
        comparableViews: number | null;
        previous: number | null;
        change: number | null;
      })[];
      pageInfo: {
        endCursor: string | null;
        hasNextPage: boolean;
      };
    };
    page?: {
      title: string | null;
      firstViewed: string | null;
      lastViewed: string | null;
    } | null;
    peak?: {
      localStart: string;
      views: number;
    } | null;
    site?: {
      totals: {
        views: number;
      };
      series: {
        views: number;
      }[];
      sections: {
        nodes: ({
          name: string;
          isPage: boolean;
          title: string | null;
          pages: number;
          views: number;
          share: number;
          comparableViews: number | null;
          previous: number | null;
          change: number | null;
        })[];
      };
    };
  };
};
export type ReportVariables = { filter?: ReportFilter | null; granularity: Granularity; compareTo: Comparison; compares: boolean; first: number; orderBy: PageOrder; asSections: boolean; folder: string; isPage: boolean; page: string; beside: string };
