// The memos: a form makes one, and a list, newest first, plays, renames and deletes them.

import { MemoItem } from "./memo-item.js";
import { Button, Empty, Heading, Loaded, useAlive, useLoaded } from "./parts.js";
import { saveFile } from "./csv.js";
import { html, useLayoutEffect, useRef, useState } from "./preact.js";
import { Say } from "./say.js";
import { SAID, sentenceOf } from "./texts.js";
import { MEMO_SAID, nameOfMemo } from "./texts-memos.js";

const MEMO_PAGE = 20;

/** The most pages that are read to fill one: with a voice a page can be short, or empty, before the end. */
const MOST_SHORT_PAGES = 5;

const MAKING_PATHS = ["/api/v1/voices", "/api/v1/usage/limits", "/api/keys"];
const MEMOS_PATH = "/api/v1/memos";

/** The GETs of a first view of the memos: [path, query] each. */
export function memosFirst(route) {
  return [...MAKING_PATHS.map((path) => [path]), [MEMOS_PATH, memosQuery(route.voice)]];
}

function memosQuery(voice, cursor = null) {
  return { limit: MEMO_PAGE, voice, cursor };
}

export function MemosView({ route, go, api, tell }) {
  const making = useLoaded(() => loadMaking(api), []);
  const list = useMemoList(api, route.voice);
  const heading = useRef(null);
  const hasTools = useRef(false); // once shown, they stay: one of them may have the focus
  hasTools.current ||= list.memos.length > 0 || route.voice !== "";

  async function made(memo, keyName) {
    tell(memo.audio.status === "ready" ? MEMO_SAID.made(memo) : MEMO_SAID.making);
    list.add(memo, keyName);
    making.reload();
  }

  async function remove(memo) {
    await api.delete(`/api/v1/memo/${memo.id}`);
    list.drop(memo.id);
    tell(MEMO_SAID.deleted(nameOfMemo(memo)));
    setTimeout(() => heading.current?.focus()); // after the dialog has closed: its opener is removed with the memo
  }

  const actions = { change: list.change, remove, tell, api };
  return html`<div class="memos-view">
    <div class="view-head"><${Heading}>${MEMO_SAID.title}<//></div>
    <div class="sections">
      <section class="section" aria-labelledby="say-title">
        <h2 id="say-title">${MEMO_SAID.sayTitle}</h2>
        <${Loaded} of=${making} keep>
          ${({ voices, limits, keys }) => html`<${Say} api=${api} voices=${voices} limits=${limits} keys=${keys} made=${made} />`}
        <//>
      </section>
      <section class="section" aria-labelledby="list-title">
        <div class="list-head">
          <h2 id="list-title" ref=${heading} tabindex="-1">${MEMO_SAID.listTitle}</h2>
          ${hasTools.current &&
          html`<${VoiceFilter} voices=${making.value?.voices ?? []} voice=${route.voice} choose=${(voice) => go({ voice })} />
            <${Download} api=${api} tell=${tell} />`}
        </div>
        <${Loaded} of=${list.loaded}>
          ${() => html`<${MemoList} key=${route.voice} list=${list} actions=${actions} voices=${making.value?.voices ?? []} voice=${route.voice} />`}
        <//>
      </section>
    </div>
  </div>`;
}

function MemoList({ list, actions, voices, voice }) {
  const first = useRef(null);
  const [failure, setFailure] = useState(null);
  const [busy, setBusy] = useState(false);
  const alive = useAlive();

  async function more() {
    setBusy(true);
    setFailure(null);
    try {
      first.current = list.memos.length;
      await list.more();
    } catch (problem) {
      if (alive.current) setFailure(problem);
    } finally {
      if (alive.current) setBusy(false);
    }
  }

  if (list.memos.length === 0 && list.loaded.loading) return html`<p class="wait" role="status">${SAID.loading}</p>`;
  if (list.memos.length === 0 && !list.hasMore) {
    const name = voices.find(({ id }) => id === voice)?.name;
    return html`<${Empty} title=${name ? MEMO_SAID.emptyVoice(name) : MEMO_SAID.emptyTitle}>
      <p>${name ? MEMO_SAID.emptyVoiceText : MEMO_SAID.emptyText}</p>
    <//>`;
  }
  return html`
    <ol class="memos">
      ${list.memos.map((memo, index) => html`<${MemoItem} key=${memo.id} memo=${memo} keyName=${list.keyNames[memo.id]}
        focus=${first.current === index} ...${actions} />`)}
    </ol>
    ${failure && failure.kind !== "ended" && html`<p class="refused" role="alert">${sentenceOf(failure)}</p>`}
    ${list.hasMore && html`<${Button} busy=${busy} onClick=${more}>${busy ? MEMO_SAID.moreLoading : MEMO_SAID.moreMemos}<//>`}
  `;
}

function VoiceFilter({ voices, voice, choose }) {
  return html`<div class="voice-filter">
    <label for="only-voice">${MEMO_SAID.onlyVoice}</label>
    <select id="only-voice" value=${voice} onChange=${(event) => choose(event.target.value)}>
      <option value="" selected=${voice === ""}>${MEMO_SAID.anyVoice}</option>
      ${voices.map(({ id, name }) => html`<option value=${id} selected=${id === voice}>${name}</option>`)}
    </select>
  </div>`;
}

function Download({ api, tell }) {
  const [busy, setBusy] = useState(false);
  const alive = useAlive();
  async function press() {
    setBusy(true);
    try {
      const { text, headers } = await api.text("/api/v1/analytics/export", { days: 366, format: "csv" });
      const given = /filename="([\w.-]+)"/.exec(headers.get("Content-Disposition") ?? "");
      saveFile(given?.[1] ?? "agent-talk-usage.csv", text, "text/csv;charset=utf-8");
      tell(MEMO_SAID.downloaded);
    } catch (failure) {
      if (failure.kind !== "ended") tell(sentenceOf(failure));
    } finally {
      if (alive.current) setBusy(false);
    }
  }
  return html`<${Button} busy=${busy} onClick=${press}>${busy ? MEMO_SAID.downloading : MEMO_SAID.download}<//>`;
}

async function loadMaking(api) {
  const [{ voices }, limits, { keys }] = await Promise.all(MAKING_PATHS.map((path) => api.get(path)));
  return { voices, limits, keys };
}

/** The memos read so far, of a voice or ("") of all: {loaded, memos, hasMore, keyNames, more, add, drop, change}. */
function useMemoList(api, voice) {
  const [state, setState] = useState({ memos: [], cursor: null, keyNames: {} });
  const loaded = useLoaded(() => loadMemos(api, voice, null), [voice]);
  const append = (before, page) => ({
    memos: [...before.memos, ...page.memos.filter(({ id }) => before.memos.every((memo) => memo.id !== id))],
    cursor: page.cursor,
    keyNames: { ...before.keyNames, ...page.keyNames },
  });
  useLayoutEffect(() => {
    if (loaded.value) setState(append({ memos: [], keyNames: {} }, loaded.value));
  }, [loaded.value]);
  const each = (change) => setState((before) => ({ ...before, memos: change(before.memos) }));
  return {
    ...state,
    loaded,
    hasMore: state.cursor !== null && !loaded.loading, // while another voice is loaded, the cursor is the old one's
    async more() {
      const after = state.cursor;
      const page = await loadMemos(api, voice, after);
      setState((before) => (before.cursor === after ? append(before, page) : before)); // else the list is another one now
    },
    add(memo, keyName) {
      if (voice !== "" && voice !== memo.voice.id) return;
      setState((before) => ({
        ...before,
        memos: [memo, ...before.memos.filter(({ id }) => id !== memo.id)],
        keyNames: { ...before.keyNames, [memo.id]: keyName },
      }));
    },
    drop: (id) => each((memos) => memos.filter((memo) => memo.id !== id)),
    change: (memo) => each((memos) => memos.map((before) => (before.id === memo.id ? memo : before))),
  };
}

async function loadMemos(api, voice, after) {
  const memos = [];
  let cursor = after;
  for (let page = 0; page < MOST_SHORT_PAGES && memos.length < MEMO_PAGE; page += 1) {
    const answer = await api.get(MEMOS_PATH, memosQuery(voice, cursor));
    memos.push(...answer.memos);
    cursor = answer.hasMore ? answer.nextCursor : null;
    if (cursor === null) break;
  }
  return { memos, cursor, keyNames: memos.length ? await keyNamesOf(api, memos) : {} };
}

/** The name of the key that made each memo, by the memo's id, from the usage logs of the same time. */
async function keyNamesOf(api, memos) {
  const from = memos.at(-1).createdAt;
  const to = new Date(Date.parse(memos[0].createdAt) + 1000).toISOString();
  try {
    const { logs } = await api.get("/api/v1/usage", { action: "memo_created", from, to, limit: 100 });
    return Object.fromEntries(logs.map(({ metadata, apiKeyName }) => [metadata.memoId, apiKeyName]));
  } catch (failure) {
    if (failure.kind === "ended") throw failure;
    return {}; // the memos are shown without the names of their keys
  }
}
