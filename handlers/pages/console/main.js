// The page itself: its session, its view, and its messages.

import { AccessView, FirstKey } from "./access.js";
import { AccountView } from "./account.js";
import { ApiFailure, openApi } from "./api.js";
import { Header, ShownView, Told, Unreachable } from "./frame.js";
import { forgetSecrets, uncopiedKey } from "./keyring.js";
import { KeysView, keysFirst } from "./keys.js";
import { memosFirst, MemosView } from "./memos.js";
import { overviewFirst, OverviewView } from "./overview.js";
import { focusHeading } from "./parts.js";
import { PlanView, planFirst } from "./plan.js";
import { html, render, useEffect, useRef, useState } from "./preact.js";
import { changed, changesOf, hrefOf, readRoute } from "./router.js";
import { forgetSession, hasSession, noteSession, onSessionElsewhere } from "./session.js";
import { SAID, sentenceOf } from "./texts.js";

/** The views in the order of the navigation: {overview: {view: OverviewView, first}}. `first(route)` returns the first
    GETs of a view, [path, query] each, so that they are sent at the same time as that of the session. */
const SHOWN = {
  overview: { view: OverviewView, first: overviewFirst },
  memos: { view: MemosView, first: memosFirst },
  keys: { view: KeysView, first: keysFirst },
  plan: { view: PlanView, first: planFirst },
  account: { view: AccountView },
};

const ME = "/api/v1/auth/me";
const START = readRoute();

let sessionEnded = () => {};
const api = openApi(() => sessionEnded());

function nameOf(route) {
  if (route.billing && SHOWN.plan) return "plan";
  return Object.hasOwn(SHOWN, route.view) ? route.view : Object.keys(SHOWN)[0];
}

/** Request the session, and at the same time the data of the first view. */
function askAhead() {
  const { first = () => [] } = SHOWN[nameOf(START)] || {};
  for (const [path, query] of [[ME], ...first(START)]) api.ahead(path, query);
}

/** The session: `state` is "asking", "in", "out" or "failed", which has a `failure`. */
function useSession(mayAsk) {
  const [now, setNow] = useState({ state: mayAsk ? "asking" : "out", user: null, apiKey: null, note: "" });
  const user = useRef(null);

  function drop() {
    forgetSecrets();
    api.forget();
  }

  function enter(found, apiKey = null) {
    if (user.current && user.current.id !== found.id) drop(); // another tab logged in as another user
    user.current = found;
    noteSession(found);
    setNow({ state: "in", user: found, apiKey, note: "" });
  }

  function leave(note) {
    user.current = null;
    forgetSession();
    drop();
    setNow({ state: "out", user: null, apiKey: null, note });
  }

  async function ask() {
    setNow((before) => ({ ...before, state: "asking" }));
    try {
      enter((await api.get(ME)).user);
    } catch (failure) {
      api.forget();
      if (failure.kind !== "ended") setNow({ state: "failed", user: null, apiKey: null, note: "", failure });
    }
  }

  /** Load the account again, without a change of the view. */
  async function renew() {
    try {
      const { user: found } = await api.get(ME);
      if (user.current && user.current.id === found.id) setNow((before) => ({ ...before, user: found }));
    } catch (failure) {
      if (!(failure instanceof ApiFailure)) throw failure; // the view's own requests show other failures
    }
  }

  useEffect(() => {
    const shown = (event) => event.persisted && (user.current || hasSession()) && ask(); // from the browser's cache
    const stop = onSessionElsewhere((id) => {
      if (id === null) user.current && leave(SAID.loggedOut);
      else if (!user.current || user.current.id !== id) ask();
    });
    window.addEventListener("pageshow", shown);
    return () => (stop(), window.removeEventListener("pageshow", shown));
  }, []);

  sessionEnded = () => leave(SAID.ended);
  return { ...now, enter, leave, ask, renew };
}

/** The route of the address bar, and its setters. A mail's token leaves the bar at once, so no history keeps it. */
function useRoute(arrived) {
  const [route, setRoute] = useState(START);

  function read() {
    const next = readRoute();
    if (next.mail) history.replaceState(null, "", location.pathname);
    setRoute(next);
    arrived();
  }

  function go(changes, { replace = false } = {}) {
    const next = changed(readRoute(), changes);
    history[replace ? "replaceState" : "pushState"](null, "", hrefOf(next));
    setRoute(next);
    arrived();
  }

  useEffect(() => {
    if (START.mail) history.replaceState(null, "", location.pathname);
    window.addEventListener("popstate", read);
    return () => window.removeEventListener("popstate", read);
  }, []);

  return { route, go, mailDone: () => setRoute((before) => ({ ...before, mail: null })) };
}

function Console() {
  const [told, tell] = useState("");
  const { route, go, mailDone } = useRoute(() => tell(""));
  const session = useSession(hasSession() && !START.mail);
  const { state, user, apiKey, note } = session;
  const name = nameOf(route);

  useEffect(() => {
    if (state === "asking") session.ask();
  }, []);

  function enter(found, key) {
    mailDone();
    tell("");
    session.enter(found, key);
  }

  /** Go on to the first memo after the first key, unless the URL names another view. */
  function begin() {
    enter(user);
    if (!route.view) go({ view: "memos" }, { replace: true });
  }

  async function logOut() {
    if (uncopiedKey() !== null && !window.confirm(SAID.keyWouldGo)) return;
    try {
      await api.post("/api/v1/auth/logout");
    } catch (failure) {
      return tell(sentenceOf(failure)); // the session still exists: it must not seem to have ended
    }
    go({ view: "", range: "", key: "", voice: "" }, { replace: true });
    session.leave(SAID.loggedOut);
  }

  function mailIsRead() {
    mailDone();
    if (state === "in") session.renew();
    else if (hasSession()) session.ask();
  }

  function followed(event) {
    const link = event.target.closest && event.target.closest("a[href]");
    const changes = link && !event.defaultPrevented && changesOf(link);
    if (!changes || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(changes);
    focusHeading(); // of the same view; another view's heading takes the focus when it appears
  }

  function content() {
    if (route.mail || state === "out") {
      return html`<${AccessView} key=${route.mail ? route.mail.token : note} api=${api} mail=${route.mail} note=${note} enter=${enter} mailIsRead=${mailIsRead} />`;
    }
    if (state === "asking") return html`<p class="wait" role="status">${SAID.loading}</p>`;
    if (state === "failed") return html`<${Unreachable} failure=${session.failure} again=${session.ask} />`;
    if (apiKey) return html`<${FirstKey} user=${user} apiKey=${apiKey} done=${begin} />`;
    if (!SHOWN[name]) return null;
    const shared = { session: user, route: { ...route, view: name }, go, api, tell };
    const own = { renew: session.renew, leave: session.leave, logOut };
    return html`<${ShownView} key=${`${name} ${user.id}`} view=${SHOWN[name].view} shared=${{ ...shared, ...own }} />`;
  }

  const known = state === "in" && !route.mail ? user : null;
  return html`<div class="page" onClick=${followed}>
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), focusHeading())}>${SAID.skip}</a>
    <${Header} session=${known} views=${apiKey ? [] : Object.keys(SHOWN)} name=${name} range=${route.range} logOut=${logOut} />
    <main id="main">${content()}</main>
    <${Told} sentence=${told} close=${() => tell("")} />
  </div>`;
}

if (hasSession() && !START.mail) askAhead();
render(html`<${Console} />`, document.getElementById("console"));
