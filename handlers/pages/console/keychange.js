// Dialogs that make and change API keys. Each passes the API's answer to `done`.

import { Button, Check, Dialog, Field, Form, Group } from "./parts.js";
import { html, useState } from "./preact.js";
import { SAID } from "./texts.js";
import { GRACES, KEYS, LIMITS, SCOPES } from "./texts-keys.js";

const HIGHEST = 2 ** 53; // the API's bound

/** The limits of a form's fields for the API: a number, or null for no limit. */
function limitsOf(values) {
  return Object.fromEntries(Object.keys(LIMITS).map((name) => [name, values[name].trim() ? Number(values[name]) : null]));
}

function limitProblems(values) {
  const wrong = Object.keys(LIMITS).filter((name) => values[name].trim() && !isLimit(values[name].trim()));
  return Object.fromEntries(wrong.map((name) => [name, KEYS.limitWrong]));
}

const isLimit = (text) => /^[1-9][0-9]*$/.test(text) && Number(text) <= HIGHEST;

function LimitFields({ limits = {} }) {
  return html`<${Group} name="limits" legend=${KEYS.limits} hint=${KEYS.limitsHint}>
    <div class="thirds">
      ${Object.entries(LIMITS).map(
        ([name, { label }]) =>
          html`<${Field} key=${name} name=${name} label=${label} inputmode="numeric" autocomplete="off" defaultValue=${limits[name] === null || limits[name] === undefined ? "" : String(limits[name])} />`,
      )}
    </div>
  <//>`;
}

const cancel = (close) => html`<${Button} onClick=${close}>${SAID.cancel}<//>`;

export function NewKey({ api, close, done }) {
  const [test, setTest] = useState(false);

  async function send(values, form) {
    const scopes = Object.keys(SCOPES).filter((scope) => form.elements.namedItem(scope).checked);
    const limits = Object.fromEntries(Object.entries(limitsOf(values)).filter(([, limit]) => limit !== null));
    const body = { name: values.name, test, scopes, limits };
    if (values.expiresAt) body.expiresAt = values.expiresAt;
    done((await api.post("/api/keys", body)).key, scopes);
  }

  function check(values) {
    const problems = limitProblems(values);
    if (!Object.keys(SCOPES).some((scope) => values[scope])) problems.scopes = KEYS.noScope;
    if (values.expiresAt && values.expiresAt < new Date().toISOString().slice(0, 10)) problems.expiresAt = KEYS.endsPast;
    return problems;
  }

  const kind = (value, label, hint) => html`<label class="check">
    <input type="radio" name="kind" checked=${test === value} onChange=${() => setTest(value)} />
    <span>${label}<span class="hint block">${hint}</span></span>
  </label>`;
  return html`<${Dialog} title=${KEYS.makeTitle} close=${close}>
    <${Form} send=${send} check=${check} label=${KEYS.makeIt} working=${KEYS.making} aside=${cancel(close)}>
      <${Field} name="name" label=${KEYS.name} hint=${KEYS.nameHint} maxlength="100" autocomplete="off" autofocus />
      <${Group} name="kinds" legend=${KEYS.kind}>
        ${kind(false, KEYS.live, KEYS.liveHint)}${kind(true, KEYS.test, KEYS.testHint)}
      <//>
      <${Group} name="scopes" legend=${KEYS.scopes}>
        ${Object.entries(SCOPES).map(([scope, label]) => html`<${Check} key=${scope} name=${scope} label=${label} defaultChecked />`)}
      <//>
      <details><summary>${KEYS.optional}</summary><div class="optional">
        <${LimitFields} />
        <${Field} name="expiresAt" label=${KEYS.ends} hint=${KEYS.endsHint} type="date" class="third" />
      </div></details>
    <//>
  <//>`;
}

/** What a form changes of a key, and no more: else it would undo another tab's change, and be recorded as one of limits. */
function changesOfKey(apiKey, values) {
  const name = values.name.trim();
  const limits = Object.entries(limitsOf(values)).filter(([limit, most]) => most !== apiKey.limits[limit]);
  return {
    ...(name !== "" && name !== apiKey.name && { name }),
    ...(limits.length > 0 && { limits: Object.fromEntries(limits) }),
  };
}

export function ChangeKey({ api, apiKey, close, done }) {
  async function send(values) {
    const changes = changesOfKey(apiKey, values);
    if (Object.keys(changes).length === 0) return close();
    done((await api.patch(`/api/keys/${apiKey.id}`, changes)).key);
  }
  return html`<${Dialog} title=${KEYS.changeTitle} close=${close}>
    <${Form} send=${send} check=${limitProblems} label=${KEYS.save} working=${KEYS.saving} aside=${cancel(close)}>
      <${Field} name="name" label=${KEYS.name} maxlength="100" autocomplete="off" defaultValue=${apiKey.name} />
      <${LimitFields} limits=${apiKey.limits} />
    <//>
  <//>`;
}

export function RotateKey({ api, apiKey, close, done }) {
  async function send(values) {
    done((await api.post(`/api/keys/${apiKey.id}/rotate`, { graceSeconds: Number(values.graceSeconds) })).key);
  }
  return html`<${Dialog} title=${KEYS.rotateTitle(apiKey.name)} close=${close}>
    <p>${KEYS.rotateHint}</p>
    <${Form} send=${send} label=${KEYS.rotateIt} working=${KEYS.rotating} aside=${cancel(close)}>
      <${Field} name="graceSeconds" label=${KEYS.grace} as="select" defaultValue="86400">
        ${GRACES.map(([seconds, label]) => html`<option key=${seconds} value=${seconds} selected=${seconds === 86_400}>${label}</option>`)}
      <//>
    <//>
  <//>`;
}

export function RevokeKey({ api, apiKey, close, done }) {
  async function send() {
    await api.post(`/api/keys/${apiKey.id}/revoke`);
    done();
  }
  return html`<${Dialog} title=${KEYS.revokeTitle(apiKey.name)} close=${close}>
    <p>${KEYS.revokeHint(apiKey.maskedKey)}</p>
    <${Form} send=${send} label=${KEYS.revokeIt} working=${KEYS.revoking} kind="danger" aside=${cancel(close)} />
  <//>`;
}
