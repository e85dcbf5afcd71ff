// The view and its state are in the page's query: `?view=memos&range=30&key=k1&voice=adam`. Addresses are relative, so
// that they work below a stage and a base path. Tokens of mails are in the fragment, which is sent to no server.

const KEPT = ["range"]; // kept in another view; all other state belongs to one view
const STATE = ["view", "range", "by", "measure", "key", "voice"];

export function readRoute({ search, hash } = window.location) {
  const query = new URLSearchParams(search);
  const route = Object.fromEntries(STATE.map((name) => [name, query.get(name) || ""]));
  const [mail, token] = hash.slice(1).split("=");
  return {
    ...route,
    billing: query.get("billing") || "",
    mail: token && ["reset", "verify"].includes(mail) ? { kind: mail, token } : null,
  };
}

/** The query of a route. Empty values are left out, so that one state has one address. */
export function hrefOf(route) {
  const query = new URLSearchParams(STATE.filter((name) => route[name]).map((name) => [name, route[name]]));
  return `?${query}`;
}

/** The route after changes. Another view keeps only the range. */
export function changed(route, changes) {
  const leaves = changes.view && changes.view !== route.view;
  const kept = leaves ? Object.fromEntries(KEPT.map((name) => [name, route[name]])) : route;
  return { ...Object.fromEntries(STATE.map((name) => [name, ""])), ...kept, ...changes, billing: "", mail: null };
}

/** The changes that a link's `?view=…` names, or null if the link is not one of this page. */
export function changesOf(link) {
  const href = link.getAttribute("href") || "";
  if (!href.startsWith("?") || link.target || link.hasAttribute("download")) return null;
  return Object.fromEntries(new URLSearchParams(href));
}

/** An address of this service, absolute, below its stage: `https://…/api/v1/memo`. */
export function addressOf(path) {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}
