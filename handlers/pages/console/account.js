// The account: its address, password and sessions, all its data as a file, and its closing.

import { NewPasswordField, only, passwordProblem } from "./access.js";
import { saveFile } from "./csv.js";
import { Button, Dialog, Field, Form, Heading, useAlive } from "./parts.js";
import { html, useEffect, useState } from "./preact.js";
import { SAID, VIEWS, sentenceOf } from "./texts.js";
import { ACCOUNT } from "./texts-account.js";

export function AccountView({ session, api, tell, renew, leave, logOut }) {
  const shared = { session, api, tell, leave };
  useEffect(() => {
    if (session.emailVerified) return undefined;
    const seen = () => document.hidden || renew(); // back from the mail, whose link may have been opened
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, [session.emailVerified]);
  return html`<div class="view-head"><${Heading}>${VIEWS.account}<//></div>
    <div class="sections settings">
      <${Address} ...${shared} />
      <${Password} ...${shared} />
      <${Setting} title=${ACCOUNT.sessions}>
        <p class="muted">${ACCOUNT.sessionsHint}</p>
        <${Button} onClick=${logOut}>${ACCOUNT.logOutHere}<//>
      <//>
      <${Export} ...${shared} />
      <${Close} ...${shared} />
    </div>`;
}

function Setting({ title, children }) {
  return html`<section class="section"><h2>${title}</h2><div class="stack">${children}</div></section>`;
}

function Address({ session, api, tell }) {
  async function send() {
    await api.post("/api/v1/auth/resend-verification");
    tell(ACCOUNT.resent(session.email));
  }
  return html`<${Setting} title=${ACCOUNT.email}>
    <p><strong translate="no">${session.email}</strong>${" "}
      <span class=${`badge ${session.emailVerified ? "good" : "warning"}`}>${session.emailVerified ? ACCOUNT.confirmed : ACCOUNT.unconfirmed}</span></p>
    ${!session.emailVerified &&
    html`<p class="muted">${ACCOUNT.confirmHint}</p>
      <${Form} send=${send} label=${ACCOUNT.resend} working=${ACCOUNT.resending} kind="" aria-label=${ACCOUNT.email} />`}
    <p class="muted">${ACCOUNT.since(session.createdAt)}</p>
  <//>`;
}

/** Show at the password's field that it is wrong: the API's refusal names no field. */
function wrongPassword(failure, field) {
  if (failure.code === "UNAUTHORIZED") Object.assign(failure, { field, message: ACCOUNT.wrong });
  throw failure;
}

function Password({ session, api, tell }) {
  async function send({ currentPassword, newPassword }, form) {
    await api
      .post("/api/v1/auth/change-password", { currentPassword, newPassword })
      .catch((failure) => wrongPassword(failure, "currentPassword"));
    form.reset();
    tell(ACCOUNT.changed);
  }
  const check = ({ currentPassword, newPassword }) =>
    only({ currentPassword: currentPassword ? "" : ACCOUNT.noCurrent, newPassword: passwordProblem(newPassword) });
  return html`<${Setting} title=${ACCOUNT.password}>
    <${Form} send=${send} check=${check} label=${ACCOUNT.change} working=${ACCOUNT.changing} kind="" aria-label=${ACCOUNT.change}>
      <input class="unseen" type="text" name="username" autocomplete="username" value=${session.email} tabindex="-1" aria-hidden="true" readonly />
      <${Field} name="currentPassword" label=${ACCOUNT.current} type="password" autocomplete="current-password" required />
      <${NewPasswordField} />
    <//>
  <//>`;
}

const EXPORT = "/api/v1/auth/me/export";
const NEXT = "X-Next-Cursor";

/** The whole export. The API returns parts of at most 5 MB, each with the cursor of the next. */
async function exported(api) {
  const parts = [];
  let cursor = "";
  do {
    const { text, headers } = await api.text(EXPORT, { cursor });
    parts.push(text.endsWith("\n") || !text ? text : `${text}\n`);
    cursor = headers.get(NEXT);
  } while (cursor);
  return parts.join("");
}

function Export({ api, tell }) {
  const [busy, setBusy] = useState(false);
  const alive = useAlive();
  async function collect() {
    setBusy(true);
    try {
      const day = new Date().toISOString().slice(0, 10);
      saveFile(`agent-talk-account-${day}.ndjson`, await exported(api), "application/x-ndjson");
      tell(ACCOUNT.exported);
    } catch (failure) {
      if (alive.current) tell(sentenceOf(failure));
    } finally {
      if (alive.current) setBusy(false);
    }
  }
  return html`<${Setting} title=${ACCOUNT.data}>
    <p class="muted">${ACCOUNT.exportHint}</p>
    <${Button} busy=${busy} onClick=${collect}>${busy ? ACCOUNT.exporting : ACCOUNT.exportIt}<//>
  <//>`;
}

function Close({ api, leave }) {
  const [asked, setAsked] = useState(false);
  async function send({ password }) {
    await api.delete("/api/v1/auth/me", { password }).catch((failure) => wrongPassword(failure, "password"));
    leave(ACCOUNT.closed);
  }
  const stay = () => setAsked(false);
  return html`<${Setting} title=${ACCOUNT.close}>
    <p class="muted">${ACCOUNT.closeHint}</p>
    <${Button} kind="danger" onClick=${() => setAsked(true)}>${ACCOUNT.closeAsk}<//>
    ${asked &&
    html`<${Dialog} title=${ACCOUNT.closeTitle} close=${stay}>
      <p>${ACCOUNT.closeHint}</p>
      <${Form} send=${send} check=${({ password }) => (password ? {} : { password: ACCOUNT.noCurrent })} label=${ACCOUNT.closeIt}
        working=${ACCOUNT.closing} kind="danger" aside=${html`<${Button} onClick=${stay}>${SAID.cancel}<//>`}>
        <${Field} name="password" label=${ACCOUNT.closePassword} type="password" autocomplete="current-password" required />
      <//>
    <//>`}
  <//>`;
}
