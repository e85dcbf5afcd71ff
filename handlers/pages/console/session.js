// Whether this browser has a session. The session itself is a cookie that no script reads: the server marks the page that
// comes with one, so that a newcomer's page asks for nothing. A note in the browser tells other tabs who logs in and out.

const NOTE = "agent-talk.session";
const MARKED = document.documentElement.dataset;

/** Whether there may be a session: the page came with one, or this or another tab began one since. */
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
    return null; // a browser that keeps no notes: tabs notice one another at their next request
  }
}

function keepNote(id) {
  try {
    if (id === null) localStorage.removeItem(NOTE);
    else localStorage.setItem(NOTE, id);
  } catch {
    // likewise
  }
}

/** Call `told(id)` when another tab logs in, or out (null). Returns what stops it. */
export function onSessionElsewhere(told) {
  const noticed = (event) => event.key === NOTE && told(event.newValue);
  window.addEventListener("storage", noticed);
  return () => window.removeEventListener("storage", noticed);
}
