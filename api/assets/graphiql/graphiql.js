// Mounts GraphiQL on the page. `?query=`, `?variables=` and `?operationName=` fill the editor, so that a link can carry a query.
'use strict';

(() => {
  const PATH = '/graphql';

  const TOUR = `# A short tour. Put the cursor into an operation and
# press Ctrl-Enter, or press the button on the right
# and choose one by its name. Ctrl-Space completes.

# 1. Record a page view. The answer comes when the
#    view is committed.
mutation Record {
  recordPageViews(input: {increments: [{page: "/hello"}]}) {
    views
    recordedAt
  }
}

# 2. Watch the report become current. Your view is in
#    it once asOf is at or after its recordedAt.
subscription Watch {
  freshness {
    asOf
    status
    nextRefreshAt
  }
}

# 3. Read the report: the last seven days, and the
#    five most viewed pages.
query Report {
  report(filter: {interval: {period: LAST_7_DAYS}}) {
    interval {
      start
      end
    }
    freshness {
      asOf
      status
    }
    totals {
      views
      pages
    }
    pages(first: 5) {
      edges {
        node {
          page
          title
          views
          share
        }
      }
    }
  }
}
`;

  const socketUrl = new URL(PATH, window.location.href);
  socketUrl.protocol = socketUrl.protocol === 'https:' ? 'wss:' : 'ws:';

  // Who comes from the dashboard has shown a token there; it is in this tab or kept on this device. What the headers editor says counts more.
  const withToken = (typed) => {
    const token = window.sessionStorage.getItem('token') ?? window.localStorage.getItem('token');
    const isTyped = Object.keys(typed).some((name) => name.toLowerCase() === 'authorization');
    return token && !isTyped ? { ...typed, authorization: `Bearer ${token}` } : typed;
  };

  // What the headers editor holds goes into `connection_init` too: a browser cannot set headers on a WebSocket.
  let headers = {};

  const fetcher = GraphiQL.createFetcher({
    url: PATH,
    headers: { accept: 'application/graphql-response+json, application/json;q=0.9' },
    enableIncrementalDelivery: false, // The server has no @defer and no @stream.
    wsClient: graphqlWs.createClient({
      url: socketUrl.href,
      lazy: true, // No socket before the first subscription, none after the last.
      connectionParams: () => headers,
    }),
  });

  const fetcherWithHeaders = (params, options) => {
    headers = withToken(options?.headers ?? {});
    return fetcher(params, { ...options, headers });
  };

  const link = new URLSearchParams(window.location.search);
  ReactDOM.createRoot(document.getElementById('graphiql')).render(
    React.createElement(GraphiQL, {
      fetcher: fetcherWithHeaders,
      defaultQuery: TOUR,
      query: link.get('query') ?? undefined,
      variables: link.get('variables') ?? undefined,
      operationName: link.get('operationName') ?? undefined,
      inputValueDeprecation: true,
      shouldPersistHeaders: false, // They may hold a token.
    }),
  );
})();
