// One memo of the list: its audio or its state, its text, and its title, which can be changed.

import { Button, Dialog, Field, Form, Time, useAlive } from "./parts.js";
import { BeingMade, Player } from "./player.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { SAID, sentenceOf } from "./texts.js";
import { MEMO_SAID, nameOfMemo } from "./texts-memos.js";

/** Characters of a text that are shown before a press shows the rest. */
const SHOWN_CHARACTERS = 280;

/** The first half of a character of two UTF-16 units, at a text's end. */
const HALF_CHARACTER = /[\uD800-\uDBFF]$/;

/** `change(memo)` replaces it in the list, `remove(memo)` deletes it; with `focus` it takes the focus at once. */
export function MemoItem({ memo, keyName, focus, change, remove, tell, api }) {
  const [renaming, setRenaming] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const title = useRef(null);
  const name = nameOfMemo(memo);
  useEffect(() => {
    if (focus) title.current.focus();
  }, [focus]);

  const look = async () => change(await api.get(`/api/v1/memo/${memo.id}`));
  const stopRenaming = () => (setRenaming(false), setTimeout(() => title.current?.focus()));

  async function rename({ [fieldOfTitle(memo)]: given }) {
    change(await api.patch(`/api/v1/memo/${memo.id}`, { title: given.trim() || null }));
    tell(given.trim() ? MEMO_SAID.titled : MEMO_SAID.noTitle);
    stopRenaming();
  }

  return html`<li class="memo">
    ${renaming
      ? html`<${Rename} memo=${memo} send=${rename} cancel=${stopRenaming} />`
      : html`<h3 ref=${title} tabindex="-1" class=${memo.title === null ? "unseen" : ""}>${name}</h3>`}
    <${MemoText} text=${memo.text} />
    <${MemoFacts} memo=${memo} keyName=${keyName} />
    ${memo.audio.status === "processing" && html`<${BeingMade} look=${look} />`}
    ${memo.audio.status === "failed" && html`<${WhyFailed} memo=${memo} api=${api} />`}
    <div class="memo-row">
      ${memo.audio.status === "ready" && html`<${Player} url=${memo.audio.url} name=${name} />`}
      <div class="memo-actions">
        ${memo.audio.status === "ready" && html`<a class="button small" href=${memo.audio.url} download aria-label=${MEMO_SAID.save(name)}>${MEMO_SAID.saveShort}</a>`}
        <${Button} kind="small" onClick=${() => setRenaming(true)}>${MEMO_SAID.rename}<span class="unseen"> ${name}</span><//>
        <${Button} kind="small danger" onClick=${() => setDeleting(true)}>${MEMO_SAID.delete}<span class="unseen"> ${name}</span><//>
      </div>
    </div>
    ${deleting && html`<${DeleteDialog} name=${name} remove=${() => remove(memo)} close=${() => setDeleting(false)} />`}
  </li>`;
}

function MemoFacts({ memo, keyName }) {
  const { voice, audio, characterCount, createdAt } = memo;
  const duration = { ready: MEMO_SAID.seconds, processing: MEMO_SAID.estimated, failed: () => "" }[audio.status](audio.duration);
  const facts = [voice.name, duration, MEMO_SAID.characters(characterCount), keyName && MEMO_SAID.withKey(keyName)];
  return html`<p class="memo-facts">
    ${facts.filter(Boolean).map((fact) => html`<span>${fact}</span>`)}<${Time} at=${createdAt} />
  </p>`;
}

function MemoText({ text }) {
  const [whole, setWhole] = useState(false);
  const isLong = text.length > SHOWN_CHARACTERS;
  const shown = isLong && !whole ? `${text.slice(0, SHOWN_CHARACTERS).replace(HALF_CHARACTER, "").trimEnd()}…` : text;
  return html`<p class="memo-text">${shown}</p>
    ${isLong &&
    html`<${Button} kind="link" aria-expanded=${String(whole)} onClick=${() => setWhole(!whole)}>
      ${whole ? MEMO_SAID.beginning : MEMO_SAID.whole}
    <//>`}`;
}

/** The name of its field, which no other form on the page has. */
const fieldOfTitle = ({ id }) => `title-${id}`;

function Rename({ memo, send, cancel }) {
  const form = useRef(null);
  useLayoutEffect(() => form.current.querySelector("input").focus(), []); // before the next key is pressed
  const onKeyDown = (event) => event.key === "Escape" && cancel();
  return html`<div class="rename" ref=${form} onKeyDown=${onKeyDown}>
    <${Form} send=${send} label=${MEMO_SAID.keepTitle} working=${MEMO_SAID.keepingTitle}
        aside=${html`<${Button} onClick=${cancel}>${SAID.cancel}<//>`}>
      <${Field} name=${fieldOfTitle(memo)} label=${MEMO_SAID.newTitle} maxlength="200" autocomplete="off" defaultValue=${memo.title ?? ""} />
    <//>
  </div>`;
}

/** The reason why a long memo failed, from the log of its end. */
function WhyFailed({ memo, api }) {
  const [why, setWhy] = useState("");
  const alive = useAlive();
  useEffect(() => {
    const query = { action: "memo_failed", from: memo.createdAt, limit: 100 };
    api.get("/api/v1/usage", query).then(
      ({ logs }) => {
        const log = logs.find(({ metadata }) => metadata.memoId === memo.id);
        if (log && alive.current) setWhy(MEMO_SAID.why(log.metadata.code));
      },
      () => {}, // the failure is shown without its reason
    );
  }, [memo.id]);
  return html`<p class="memo-failed"><strong>${MEMO_SAID.failedTitle}</strong> ${why}</p>`;
}

function DeleteDialog({ name, remove, close }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState(null);
  const alive = useAlive();
  async function press() {
    setBusy(true);
    setFailure(null);
    try {
      await remove();
    } catch (problem) {
      if (alive.current) setFailure(problem);
    } finally {
      if (alive.current) setBusy(false);
    }
  }
  return html`<${Dialog} title=${MEMO_SAID.deleteTitle} close=${close}>
    <p>${MEMO_SAID.deleteText(name)}</p>
    <div role="alert">${failure && html`<p class="refused">${sentenceOf(failure)}</p>`}</div>
    <div class="actions">
      <${Button} kind="danger" busy=${busy} onClick=${press}>${busy ? MEMO_SAID.deleting : MEMO_SAID.delete}<//>
      <${Button} onClick=${close}>${SAID.cancel}<//>
    </div>
  <//>`;
}
