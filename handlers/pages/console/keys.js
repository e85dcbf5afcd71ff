// API keys: made, changed, rotated, revoked. A secret is shown once, when its key is made.

import { isPageKey } from "./console-key.js";
import { ChangeKey, NewKey, RevokeKey, RotateKey } from "./keychange.js";
import { dropSecret, keepSecret, keepUncopied, uncopiedKey } from "./keyring.js";
import { ApiInBrief, Button, Copy, Empty, focusHeading, Heading, Loaded, Notice, Time, useLoaded } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { VIEWS } from "./texts.js";
import { KEYS, LIMITS, SCOPES } from "./texts-keys.js";

const LIST = "/api/keys";
const PLAN_LIMITS = "/api/v1/usage/limits";

/** The GETs of a first view of API keys: [path] each. */
export const keysFirst = () => [[LIST], [PLAN_LIMITS]];

export function KeysView({ api, tell }) {
  const [asked, setAsked] = useState(null); // {Dialog, apiKey}
  const [fresh, setFresh] = useState(uncopiedKey); // {id, key, name, old}
  const loaded = useLoaded(async () => {
    const [{ keys }, limits] = await Promise.all([api.get(LIST), api.get(PLAN_LIMITS)]);
    return { keys, limits };
  }, []);

  const close = () => setAsked(null);

  function ended(sentence) {
    close();
    loaded.reload();
    tell(sentence);
  }

  function made(key, old, mayWrite) {
    if (mayWrite) keepSecret(key);
    close();
    show({ ...key, old });
    loaded.reload();
  }

  function show(key) {
    keepUncopied(key);
    setFresh(key);
  }

  const copied = () => (show(null), focusHeading());

  function revoked() {
    dropSecret(asked.apiKey.id);
    ended(KEYS.isRevoked(asked.apiKey.name));
    setTimeout(focusHeading); // after the dialog has closed: its opener is removed with the key's row
  }

  const dones = (apiKey) =>
    new Map([
      [NewKey, (key, scopes) => made(key, "", scopes.includes("memo:write"))],
      [ChangeKey, () => ended(KEYS.changed)],
      [RotateKey, (key) => made(key, apiKey.maskedKey, apiKey.scopes.includes("memo:write"))],
      [RevokeKey, revoked],
    ]);

  function list({ keys, limits }) {
    const active = keys.filter((key) => key.isActive);
    const over = keys.filter((key) => !key.isActive);
    const isFull = active.length >= limits.maxApiKeys;
    return html`<div class="sections">
      <p class="muted">${KEYS.room(active.length, limits.maxApiKeys, planName(limits.tier))} <${ApiInBrief} /></p>
      ${isFull && html`<${Notice} kind="warning"><p>${KEYS.full(limits.maxApiKeys)} ${active.some(isPageKey) && KEYS.pageKey} <a href="?view=plan">${KEYS.seePlans}</a></p><//>`}
      ${active.length ? html`<ul class="keys">${active.map(row)}</ul>` : html`<${Empty} title=${KEYS.none}><p>${KEYS.noneNext}</p><//>`}
      ${over.length > 0 && html`<details class="over"><summary>${KEYS.over(over.length)}</summary><ul class="keys">${over.map(row)}</ul></details>`}
    </div>`;
  }

  const row = (apiKey) => html`<${KeyRow} key=${apiKey.id} apiKey=${apiKey} ask=${(Shown) => setAsked({ Shown, apiKey })} />`;
  return html`<div class="view-head"><${Heading}>${VIEWS.keys}<//>
      <${Button} kind="primary" onClick=${() => setAsked({ Shown: NewKey })}>${KEYS.make}<//></div>
    ${fresh && html`<${FreshKey} key=${fresh.id} fresh=${fresh} done=${copied} />`}
    <${Loaded} of=${loaded}>${list}<//>
    ${asked && html`<${asked.Shown} api=${api} apiKey=${asked.apiKey} close=${close} done=${dones(asked.apiKey).get(asked.Shown)} />`}`;
}

const planName = (tier) => tier[0].toUpperCase() + tier.slice(1);

/** The secret of a new key, shown once. */
function FreshKey({ fresh, done }) {
  const title = useRef(null);
  useEffect(() => title.current.focus(), []);
  return html`<section class="section fresh" aria-labelledby="fresh-title">
    <h2 id="fresh-title" tabindex="-1" ref=${title}>${KEYS.fresh}</h2>
    <p>${KEYS.freshHint} ${fresh.old && KEYS.freshOld(fresh.old)}</p>
    <${Copy} text=${fresh.key} label=${KEYS.keyOf(fresh.name)} secret />
    <div class="actions"><${Button} onClick=${done}>${KEYS.freshDone}<//></div>
  </section>`;
}

const SOON_MS = 14 * 86_400_000; // before its end a key gets a warning
const isSoon = (iso) => new Date(iso).getTime() - Date.now() < SOON_MS;

function stateOf({ isActive, expiresAt, rotatedTo }) {
  if (isActive) return expiresAt && (rotatedTo ? KEYS.replaced(expiresAt) : KEYS.endsAt(expiresAt));
  // The API does not name the reason: it follows from the end.
  return expiresAt && new Date(expiresAt) <= new Date() ? KEYS.pastEnd(expiresAt) : KEYS.revoked;
}

function KeyRow({ apiKey, ask }) {
  const { name, maskedKey, isActive, prefix, scopes, limits, used, usageCount, lastUsedAt, createdAt, expiresAt, rotatedTo } = apiKey;
  const state = stateOf(apiKey);
  const own = Object.entries(LIMITS).filter(([limit]) => limits[limit] !== null);
  const action = (label, Shown, kind = "small") => html`<${Button} kind=${kind} onClick=${() => ask(Shown)}>${label}<span class="unseen">${KEYS.ofKey(name)}</span><//>`;
  return html`<li class="key">
    <div class="key-main">
      <h2 class="key-name">${name}
        ${prefix === "at_test_" && html` <span class="badge">${KEYS.isTest}</span>`}
        ${state && html` <span class=${`badge ${isActive && isSoon(expiresAt) ? "warning" : ""}`}>${state}</span>`}</h2>
      <code translate="no">${maskedKey}</code>
      <p class="muted facts">
        <span>${usageCount ? KEYS.uses(usageCount) : KEYS.neverUsed}</span>
        ${lastUsedAt && html`<span>${KEYS.lastUsed} <${Time} at=${lastUsedAt} /></span>`}
        <span>${KEYS.made(createdAt)}</span>
      </p>
      ${isActive && own.length > 0 && html`<p class="muted facts">${own.map(([limit, { used: count, shown }]) => html`<span key=${limit}>${shown(used[count] || 0, limits[limit])}</span>`)}</p>`}
      ${scopes.length < Object.keys(SCOPES).length && html`<p class="muted">${KEYS.only(scopes)}</p>`}
    </div>
    ${isActive && html`<div class="key-actions">
      ${action(KEYS.change, ChangeKey)}${!rotatedTo && action(KEYS.rotate, RotateKey)}${action(KEYS.revoke, RevokeKey, "small danger")}
    </div>`}
  </li>`;
}
