// Whether this browser has a session. The session itself is a cookie that no script reads: the browser keeps a note
// beside it, so that a newcomer's page asks for nothing, and other tabs notice who logs in and out.

const NOTE = "agent-talk.session";

/** Whether there may be a session: yes if the browser keeps no notes. */
export function hadSession() {
  try {
    return localStorage.getItem(NOTE) !== null;
  } catch {
    return true;
  }
}

export function noteSession(user) {
  keepNote(user.id);
}

export function forgetSession() {
  keepNote(null);
}

function keepNote(id) {
  try {
    if (id === null) localStorage.removeItem(NOTE);
    else localStorage.setItem(NOTE, id);
  } catch {
    // A browser that keeps no notes asks the API at each arrival.
  }
}

/** Call `told(id)` when another tab logs in, or out (null). Returns what stops it. */
export function onSessionElsewhere(told) {
  const noticed = (event) => event.key === NOTE && told(event.newValue);
  window.addEventListener("storage", noticed);
  return () => window.removeEventListener("storage", noticed);
}
