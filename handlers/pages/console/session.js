// Whether this browser has a session. The session is a cookie that no script can read: the server marks a page whose
// request has one, so that a newcomer's page sends no request. A note in localStorage tells other tabs of log-ins and
// log-outs.

const NOTE = "agent-talk.session";
const MARKED = document.documentElement.dataset;

/** True if there may be a session: the page's request had one, or this or another tab began one since. */
export function hasSession() {
  return "session" in MARKED || readNote() !== null;
}

export function noteSession(user) {
  MARKED.session = "";
  keepNote(user.id);
}

export function forgetSession() {
  delete MARKED.session;
  keepNote(null);
}

function readNote() {
  try {
    return localStorage.getItem(NOTE);
  } catch {
    return null; // without localStorage a tab notices a log-out at its next request
  }
}

function keepNote(id) {
  try {
    if (id === null) localStorage.removeItem(NOTE);
    else localStorage.setItem(NOTE, id);
  } catch {
    // as above
  }
}

/** Call `told(id)` when another tab logs in, or out (null). Returns a function that stops this. */
export function onSessionElsewhere(told) {
  const noticed = (event) => event.key === NOTE && told(event.newValue);
  window.addEventListener("storage", noticed);
  return () => window.removeEventListener("storage", noticed);
}
