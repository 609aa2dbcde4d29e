(() => {
const script = document.currentScript || document.querySelector('script[src*="/count."]');
if (!script || (window.analytics && analytics.view)) return;
const options = script.dataset;
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
const url = new URL("views", new URL(options.service || "", script.src));
const body = JSON.stringify({ page, title });
if ("keepalive" in Request.prototype) {
fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" }).catch(() => {});
} else navigator.sendBeacon(url, body);
} catch (error) {}
};
const seen = () => {
if (document.prerendering || document.visibilityState != "visible" || location.pathname == path) return;
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
