// Dialogs that make and change API keys. Each hands what the API answered to `done`.

import { Check, Dialog, Field, Form, Button } from "./parts.js";
import { html, useState } from "./preact.js";
import { SAID } from "./texts.js";
import { GRACES, KEYS, LIMITS, SCOPES } from "./texts-keys.js";

const HIGHEST = 1_000_000_000;

/** Limits as the API takes them, of a form's fields: a number, or null for none. */
function limitsOf(values) {
  return Object.fromEntries(Object.keys(LIMITS).map((name) => [name, values[name].trim() ? Number(values[name]) : null]));
}

function limitProblems(values) {
  const wrong = Object.keys(LIMITS).find((name) => values[name].trim() && !isLimit(values[name].trim()));
  return wrong ? { [wrong]: KEYS.limitWrong } : {};
}

const isLimit = (text) => /^[1-9][0-9]*$/.test(text) && Number(text) <= HIGHEST;

function LimitFields({ limits = {} }) {
  return html`<fieldset class="choices" aria-describedby="limits-hint">
    <legend class="legend">${KEYS.limits}</legend>
    <p id="limits-hint" class="hint">${KEYS.limitsHint}</p>
    <div class="thirds">
      ${Object.entries(LIMITS).map(
        ([name, { label }]) =>
          html`<${Field} key=${name} name=${name} label=${label} inputmode="numeric" autocomplete="off" defaultValue=${limits[name] === null || limits[name] === undefined ? "" : String(limits[name])} />`,
      )}
    </div>
  </fieldset>`;
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
      <fieldset class="choices"><legend class="legend">${KEYS.kind}</legend>
        ${kind(false, KEYS.live, KEYS.liveHint)}${kind(true, KEYS.test, KEYS.testHint)}
      </fieldset>
      <fieldset class="choices"><legend class="legend">${KEYS.scopes}</legend>
        ${Object.entries(SCOPES).map(([scope, label]) => html`<${Check} key=${scope} name=${scope} label=${label} defaultChecked />`)}
      </fieldset>
      <${LimitFields} />
      <${Field} name="expiresAt" label=${KEYS.ends} hint=${KEYS.endsHint} type="date" class="third" />
    <//>
  <//>`;
}

export function ChangeKey({ api, apiKey, close, done }) {
  async function send(values) {
    done((await api.patch(`/api/keys/${apiKey.id}`, { name: values.name || apiKey.name, limits: limitsOf(values) })).key);
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
