// Mounts GraphiQL on the page. `?query=` and `?variables=` fill a tab of their own, so that a link can carry a query.

import { createElement, createGraphiQLFetcher, createRoot, GraphiQL, parse } from './graphiql.min.js';

const PATH = '/graphql';

/** The first tabs: a short tour. */
const TOUR = [
  `# 1. Read the report: the last seven days by day,
#    beside the seven days before, and the five most
#    viewed pages. Press Ctrl-Enter, or the button on
#    the right. Ctrl-Space completes.
query Report {
  report(filter: {interval: {period: LAST_7_DAYS}}) {
    totals(compareTo: PREVIOUS_PERIOD) {
      views
      comparableViews
      previous
      change
    }
    series(granularity: DAY) {
      localStart
      views
      complete
    }
    previous(compareTo: PREVIOUS_PERIOD) {
      series(granularity: DAY) {
        localStart
        views
      }
    }
    pages(first: 5) {
      totalCount
      nodes {
        page
        title
        views
        previous
        change
      }
    }
    freshness {
      asOf
      status
    }
  }
}
`,
  `# 2. Look closer: the pages that changed most, each
#    with its line, and the sections of the site.
query Pages {
  report(filter: {interval: {period: LAST_7_DAYS}}) {
    pages(first: 5, orderBy: CHANGE, compareTo: PREVIOUS_PERIOD) {
      nodes {
        page
        views
        change
        series(granularity: DAY) {
          views
        }
      }
    }
    sections(first: 5) {
      nodes {
        name
        pages
        views
        share
      }
    }
  }
}
`,
  `# 3. Record a page view. The answer comes when the
#    view is committed.
mutation Record {
  recordPageViews(input: {increments: [{page: "/hello"}]}) {
    views
    recordedAt
  }
}
`,
  `# 4. Watch the report become current. Your view is in
#    it once asOf is at or after its recordedAt.
subscription Watch {
  freshness {
    asOf
    status
    nextRefreshAt
  }
}
`,
];

/** The workers of the editor, by what it calls them: a language, or one for all the rest. */
const WORKERS = ['graphql', 'json'];
const policy = globalThis.trustedTypes?.createPolicy('workers', { createScriptURL: (path) => path });
globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const path = `/graphiql/${WORKERS.includes(label) ? label : 'editor'}.worker.min.js`;
    return new Worker(policy?.createScriptURL(path) ?? path);
  },
};

const socketUrl = new URL(PATH, location.href);
socketUrl.protocol = socketUrl.protocol === 'https:' ? 'wss:' : 'ws:';

// Who comes from the dashboard has shown a token there; it is in this tab or kept on this device. What the headers editor says counts more.
const withToken = (typed) => {
  const token = sessionStorage.getItem('token') ?? localStorage.getItem('token');
  const isTyped = Object.keys(typed).some((name) => name.toLowerCase() === 'authorization');
  return token && !isTyped ? { ...typed, authorization: `Bearer ${token}` } : typed;
};

// What the headers editor holds goes into `connection_init` too: a browser cannot set headers on a WebSocket.
let headers = {};

const fetcher = createGraphiQLFetcher({
  url: PATH,
  headers: { accept: 'application/graphql-response+json, application/json;q=0.9' },
  enableIncrementalDelivery: false, // The server has no @defer and no @stream.
  wsClient: graphqlWs.createClient({
    url: socketUrl.href,
    lazy: true, // No socket before the first subscription, none after the last.
    connectionParams: () => headers,
  }),
});

// GraphiQL knows the operations of a tab only a moment after it was chosen. What is run is what stands there.
const asWritten = (params, options) => {
  try {
    const documentAST = parse(params.query);
    const names = documentAST.definitions.filter(({ kind }) => kind === 'OperationDefinition').map(({ name }) => name?.value);
    const operationName = names.length === 1 ? names[0] : names.find((name) => name === params.operationName);
    return [{ ...params, operationName }, { ...options, documentAST }];
  } catch {
    return [params, options]; // The server says what is wrong with it.
  }
};

const run = (typed, typedOptions) => {
  const [params, options] = asWritten(typed, typedOptions);
  headers = withToken(options?.headers ?? {});
  return fetcher(params, { ...options, headers });
};

const link = new URLSearchParams(location.search);
const [query, variables] = [link.get('query') ?? undefined, link.get('variables') ?? undefined];
createRoot(document.getElementById('graphiql')).render(
  createElement(GraphiQL, {
    fetcher: run,
    defaultTabs: query === undefined ? TOUR.map((text) => ({ query: text })) : [{ query, variables }],
    initialQuery: query,
    initialVariables: variables,
    inputValueDeprecation: true,
    shouldPersistHeaders: false, // They may hold a token.
  }),
);
