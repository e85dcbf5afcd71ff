// The form that makes a memo. A repeat after a lost answer has the same Idempotency-Key, so one memo is made.

import { idempotencyKey } from "./api.js";
import { formerPageKey, isPageKey, keyFailure, makePageKey, secretOf, usableKeys } from "./console-key.js";
import { charactersIn } from "./formats.js";
import { Field, Form } from "./parts.js";
import { html, useRef, useState } from "./preact.js";
import { SampleButton } from "./player.js";
import { MEMO_SAID } from "./texts-memos.js";

/** The most characters of a memo, on any plan. */
const MOST_CHARACTERS = 100_000;

const PAGE = "page";
const PASTED = "pasted";
const SECRET = /^at_(live|test)_[A-Za-z0-9_-]{43}$/;

/** `made(memo, keyName)` is called with each new memo; the key's name is null if it is unknown. */
export function Say({ api, voices, limits, keys, made }) {
  const [text, setText] = useState("");
  const [voiceId, setVoice] = useState(voices[0].id);
  const usable = usableKeys(keys);
  const canMakeKey = formerPageKey(keys) !== null || keys.filter(({ isActive }) => isActive).length < limits.maxApiKeys;
  const [chosen, setChosen] = useState(null);
  const best = usable.find(isPageKey) ?? usable.find((key) => hasNoLimit(key) && !isTest(key.prefix));
  const keyId = chosen ?? best?.id ?? (canMakeKey ? PAGE : (usable[0]?.id ?? PASTED));
  const [pasted, setPasted] = useState("");
  const [turn, setTurn] = useState(0);
  const sent = useRef({ body: "", key: "" });
  const most = limits.charsPerMemo === "unlimited" ? MOST_CHARACTERS : limits.charsPerMemo;
  const voice = voices.find(({ id }) => id === voiceId);

  const check = (values) => ({
    ...(values.text.trim() === "" && { text: MEMO_SAID.noText }),
    ...(charactersIn(values.text) > most && { text: MEMO_SAID.longText(most, charactersIn(values.text)) }),
    ...(keyId === PASTED && pastedProblem(values.pasted)),
  });

  async function send(values) {
    const key = await keyFor(values);
    const body = { text: values.text, voice: values.voice, title: values.title || null, format: values.format };
    const headers = { Authorization: `Bearer ${key.secret}`, "Idempotency-Key": keyOfRequest(body, key.secret) };
    let memo;
    try {
      memo = await api.post("/api/v1/memo", body, { headers });
    } catch (failure) {
      throw told(keyFailure(failure, key.id));
    }
    sent.current = { body: "", key: "" };
    setText("");
    setTurn(turn + 1); // a new form, with an empty title
    await made(memo, key.name);
  }

  /** The key stays the same until the memo is made. The API keeps no failure, so a repeat after one tries again. */
  function keyOfRequest(body, secret) {
    const whole = JSON.stringify([body, secret]);
    if (sent.current.body !== whole) sent.current = { body: whole, key: idempotencyKey() };
    return sent.current.key;
  }

  async function keyFor(values) {
    if (keyId === PASTED) return { id: null, name: null, secret: values.pasted.trim() };
    if (keyId !== PAGE) return { ...usable.find(({ id }) => id === keyId), secret: secretOf(keyId) };
    const key = await makePageKey(api, limits.maxApiKeys);
    setChosen(key.id);
    return { ...key, secret: key.key };
  }

  return html`<${Form} class="say" send=${send} check=${check} label=${MEMO_SAID.say} working=${MEMO_SAID.saying}
      aside=${html`<p class="hint">${costOf(limits, keys, keyId, pasted)} ${keyHint(keyId, keys)}</p>`}>
    <${Field} as="textarea" name="text" label=${MEMO_SAID.text} rows="4" required hint=${MEMO_SAID.textLeft(most - charactersIn(text))}
      value=${text} onInput=${(event) => setText(event.target.value)} />
    <div class="say-row">
      <${Field} as="select" name="voice" label=${MEMO_SAID.voice} value=${voiceId} onChange=${(event) => setVoice(event.target.value)}>
        ${voices.map((one) => html`<option value=${one.id} selected=${one.id === voiceId}>${MEMO_SAID.voiceOption(one)}</option>`)}
      <//>
      <${SampleButton} voice=${voice} />
    </div>
    <details key=${turn}>
      <summary>${MEMO_SAID.more}</summary>
      <div class="say-more">
        <${Field} name="title" label=${MEMO_SAID.memoTitle} maxlength="200" autocomplete="off" />
        <${Field} as="select" name="format" label=${MEMO_SAID.format}>
          ${Object.entries(MEMO_SAID.formats).map(([format, label]) => html`<option value=${format}>${label}</option>`)}
        <//>
        <${Field} as="select" name="key" label=${MEMO_SAID.key} value=${keyId} onChange=${(event) => setChosen(event.target.value)}>
          ${usable.map(({ id, name, maskedKey }) => html`<option value=${id} selected=${id === keyId}>${`${name} (${maskedKey})`}</option>`)}
          ${!usable.some(isPageKey) && html`<option value=${PAGE} disabled=${!canMakeKey} selected=${keyId === PAGE}>${MEMO_SAID.pageKey}</option>`}
          <option value=${PASTED} selected=${keyId === PASTED}>${MEMO_SAID.otherKey}</option>
        <//>
      </div>
    </details>
    ${keyId === PASTED &&
    html`<${Field} name="pasted" type="password" label=${MEMO_SAID.pasted} autocomplete="off" autocapitalize="none" spellcheck="false"
      hint=${canMakeKey ? MEMO_SAID.pastedHint : `${MEMO_SAID.ringIsFull(limits.maxApiKeys)} ${MEMO_SAID.pastedHint}`}
      value=${pasted} onInput=${(event) => setPasted(event.target.value)} />`}
  <//>`;
}

const isTest = (secret) => secret.startsWith("at_test_");

/** A key with its own limits is meant for another program: the page uses one only if it has no other key. */
function hasNoLimit({ limits }) {
  return Object.values(limits).every((limit) => limit === null);
}

function pastedProblem(value) {
  if (value.trim() === "") return { pasted: MEMO_SAID.noKey };
  return SECRET.test(value.trim()) ? {} : { pasted: MEMO_SAID.badKey };
}

function keyHint(keyId, keys) {
  if (keyId !== PAGE) return "";
  return formerPageKey(keys) === null ? MEMO_SAID.pageKeyHint : MEMO_SAID.renewedKeyHint;
}

/** The sentence on a memo's cost, by the nearest limit: the month's, the day's, or the key's own. */
function costOf({ daily, monthly }, keys, keyId, pasted) {
  const key = keys.find(({ id }) => id === keyId);
  if (isTest(keyId === PASTED ? pasted.trim() : (key?.prefix ?? ""))) return MEMO_SAID.testCost;
  if (monthly.remaining === 0) return MEMO_SAID.noneLeftMonth(monthly);
  if (daily.remaining === 0) return MEMO_SAID.noneLeft(daily);
  if (!key || key.limits.memosPerDay === null) return MEMO_SAID.cost(daily);
  const left = key.limits.memosPerDay - key.used.memosToday;
  return left > 0 ? `${MEMO_SAID.cost(daily)} ${MEMO_SAID.keyCost(left)}` : MEMO_SAID.keySpent(key.name);
}

/** The sentences for a lost answer and for a try that still runs: sending the form again makes no second memo. */
function told(failure) {
  if (failure.kind === "offline") return Object.assign(failure, { kind: "refused", message: MEMO_SAID.lost });
  if (failure.status === 409 && failure.retryAfter !== null) failure.message = MEMO_SAID.stillRunning(failure.retryAfter);
  return failure;
}
