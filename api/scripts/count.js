// Counts views of this page when it is seen. Stores nothing, and sends only the page's path and title.
(() => {
  const script = document.currentScript || document.querySelector('script[src*="/count."]');
  // A second tag would count again.
  if (!script || (window.analytics && analytics.view)) return;
  const options = script.dataset;
  // Automated browsers, pages of this machine and files are counted only if the tag says so.
  const counts =
    "always" in options ||
    !(navigator.webdriver || /^$|(^|\.)localhost$|^127\.|^\[::1]$/.test(location.hostname));
  const first = location.pathname;
  const name = () => (location.pathname == first && options.page) || location.pathname + location.search;
  let path;
  let lastTitle;

  const view = (given) => {
    try {
      if (!counts) return;
      let { page = name(), title } = given || {};
      if (title == null && document.title != lastTitle) {
        lastTitle = document.title;
        title = lastTitle.slice(0, 1024);
      }
      // The address of the service: that of this script, unless the tag has another one.
      const url = new URL("views", new URL(options.service || "", script.src));
      const body = JSON.stringify({ page, title });
      // Both survive that the page is left. `fetch` comes first: it tells the page's origin whatever referrer policy the
      // page has (which the Fetch standard does not allow to beacons), and sends no cookies.
      if ("keepalive" in Request.prototype) {
        fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" }).catch(() => {});
      } else navigator.sendBeacon(url, body);
    } catch (error) {}
  };

  // Counts the page if it is visible, and was not counted since another path, or since it came from the cache of pages
  // for back and forward. Chromium calls a page that was prerendered visible a moment before it ends prerendering it.
  const seen = () => {
    if (document.prerendering || document.visibilityState != "visible" || location.pathname == path) return;
    // A page that was navigated to without a load gets its title only now.
    if (path) setTimeout(view, 0, { page: name() });
    else view();
    path = location.pathname;
  };

  (window.analytics = window.analytics || {}).view = view;
  if ("manual" in options) return;
  seen();
  document.addEventListener("visibilitychange", seen);
  document.addEventListener("prerenderingchange", seen);
  addEventListener("popstate", seen);
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      path = "";
      seen();
    }
  });
  for (const name of ["pushState", "replaceState"]) {
    const change = history[name];
    history[name] = function () {
      change.apply(this, arguments);
      seen();
    };
  }
})();
