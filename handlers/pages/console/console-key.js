// The key with which the page makes memos. A session cannot make memos, so the page makes a key with this scope alone,
// which ends in an hour. It replaces the page's former key, so it takes one place at most among the owner's keys.

import { ApiFailure } from "./api.js";
import { dropSecret, keepSecret, keptSecrets } from "./keyring.js";
import { MEMO_SAID } from "./texts-memos.js";

const PAGE_KEY_NAME = "Console";
const PAGE_KEY_MS = 3_600_000;
const PAGE_KEY_SCOPES = ["memo:write"];

/** The active keys that can make memos and whose secrets this tab has, as /api/keys lists them. */
export function usableKeys(keys) {
  const kept = keptSecrets().map(({ id }) => id);
  return keys.filter(({ id, isActive, scopes }) => kept.includes(id) && isActive && scopes.includes("memo:write"));
}

export function secretOf(id) {
  return keptSecrets().find((kept) => kept.id === id)?.key ?? null;
}

/** The key that a page made before, whose secret is lost; null: there is none. */
export function formerPageKey(keys) {
  return keys.find(isPageKey) ?? null;
}

export function isPageKey({ name, scopes, isActive, rotatedTo }) {
  return isActive && rotatedTo === null && name === PAGE_KEY_NAME && String(scopes) === String(PAGE_KEY_SCOPES);
}

/** Make the page's key, and keep its secret in this tab. Raises ApiFailure, at the field "key" if no place is free.
    The keys are requested anew: another tab, or a try without an answer, may have made one since the view was loaded. */
export async function makePageKey(api, mostKeys) {
  const expiresAt = new Date(Date.now() + PAGE_KEY_MS).toISOString();
  const former = formerPageKey((await api.get("/api/keys")).keys);
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

/** The failure of a memo request, reworded for its form, and at the key's field if the key is at fault. */
export function keyFailure(failure, id) {
  const isOver = failure.kind === "credential" || failure.code === "REVOKED_KEY";
  if (!isOver && failure.code !== "FORBIDDEN") return failure;
  if (isOver && id !== null) dropSecret(id);
  const message = isOver ? MEMO_SAID.keyIsOver : MEMO_SAID.keyMayNot;
  return new ApiFailure({ kind: "field", message, details: { field: "key" } });
}
