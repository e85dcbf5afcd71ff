// The key that the page makes memos with. A session cannot make memos, so the page makes a key that can do nothing else
// and ends in an hour, and replaces the one that it made before: it never takes more than one place among the owner's keys.

import { ApiFailure } from "./api.js";
import { dropSecret, keepSecret, keptSecrets } from "./keyring.js";
import { MEMO_SAID } from "./texts-memos.js";

const PAGE_KEY_NAME = "Console";
const PAGE_KEY_MS = 3_600_000;
const PAGE_KEY_SCOPES = ["memo:write"];

/** The keys whose secrets this tab has and that work, as /api/keys lists them. */
export function usableKeys(keys) {
  const kept = keptSecrets().map(({ id }) => id);
  return keys.filter(({ id, isActive, scopes }) => kept.includes(id) && isActive && scopes.includes("memo:write"));
}

export function secretOf(id) {
  return keptSecrets().find((kept) => kept.id === id)?.key ?? null;
}

/** The key that a page made before, whose secret is gone; null: there is none. */
export function formerPageKey(keys) {
  return keys.find(isPageKey) ?? null;
}

export function isPageKey({ name, scopes, isActive, rotatedTo }) {
  return isActive && rotatedTo === null && name === PAGE_KEY_NAME && String(scopes) === String(PAGE_KEY_SCOPES);
}

/** Makes the page's key, and keeps its secret in the tab's memory. Raises ApiFailure, of the field "key" if no more fit. */
export async function makePageKey(api, keys, mostKeys) {
  const expiresAt = new Date(Date.now() + PAGE_KEY_MS).toISOString();
  const former = formerPageKey(keys);
  try {
    const { key } = former
      ? await api.post(`/api/keys/${former.id}/rotate`, { graceSeconds: 0, expiresAt })
      : await api.post("/api/keys", { name: PAGE_KEY_NAME, scopes: PAGE_KEY_SCOPES, expiresAt });
    keepSecret(key);
    return key;
  } catch (failure) {
    if (failure.status !== 400) throw failure;
    throw new ApiFailure({ kind: "field", message: MEMO_SAID.ringIsFull(mostKeys), details: { field: "key" } });
  }
}

/** The failure of a memo request in words for its form, at the key's field if the key is at fault. */
export function keyFailure(failure, id) {
  const isOver = failure.kind === "credential" || failure.code === "REVOKED_KEY";
  if (!isOver && failure.code !== "FORBIDDEN") return failure;
  if (isOver && id !== null) dropSecret(id);
  const message = isOver ? MEMO_SAID.keyIsOver : MEMO_SAID.keyMayNot;
  return new ApiFailure({ kind: "field", message, details: { field: "key" } });
}
