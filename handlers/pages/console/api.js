// The only module that sends requests. A success is returned; any other outcome is an ApiFailure of one of these kinds:
//   offline      no answer arrived         unavailable  a 5xx: an outage, never the owner's fault
//   ended        the session has ended     limit        429, with the seconds to wait
//   field        400, at a field           missing      404
//   credential   401 for another reason    refused      every other refusal; its message has the reason

import { addressOf } from "./router.js";

const PATIENCE_MS = 35_000; // the gateway answers within 30 s

export class ApiFailure extends Error {
  constructor({ kind, status = 0, code = "", message = "", details = {}, retryAfter = null }) {
    super(message);
    Object.assign(this, { kind, status, code, details, retryAfter, field: details.field || "" });
  }
}

const ENDED = ["MISSING_API_KEY", "INVALID_API_KEY", "EXPIRED_TOKEN"];

function kindOf(status, code, details, hasKey) {
  if (status === 401) return ENDED.includes(code) && !hasKey ? "ended" : "credential";
  if (status === 429) return "limit";
  if (status >= 500) return "unavailable";
  if (status === 404) return "missing";
  return status === 400 && details.field ? "field" : "refused";
}

async function failureOf(answer, hasKey) {
  const body = await answer.json().catch(() => ({}));
  const { code = "", message = "", details = {} } = body.error || {};
  const seconds = Number.parseInt(answer.headers.get("Retry-After"), 10);
  return new ApiFailure({
    kind: kindOf(answer.status, code, details, hasKey),
    status: answer.status,
    code,
    message,
    details,
    retryAfter: Number.isNaN(seconds) ? null : seconds,
  });
}

function urlOf(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  return addressOf(path) + (search && `?${search}`);
}

/** The API with the cookie's session. `onEnded` is called when an answer shows that the session has ended. */
export function openApi(onEnded) {
  const begun = new Map(); // GETs that were sent ahead, each for the first caller of its URL
  let sessions = 0; // counts ended ones: a late answer of one shows nothing of the next

  async function send(method, path, query, body, headers = {}) {
    const hasKey = "Authorization" in headers;
    const sent = { method, headers: { ...headers }, signal: AbortSignal.timeout(PATIENCE_MS) };
    if (body !== undefined) {
      sent.body = JSON.stringify(body);
      sent.headers["Content-Type"] = "application/json";
    }
    const session = sessions;
    let answer;
    try {
      answer = await fetch(urlOf(path, query), sent);
    } catch {
      throw new ApiFailure({ kind: "offline" });
    }
    if (answer.ok) return answer;
    const failure = await failureOf(answer, hasKey);
    if (failure.kind === "ended" && session === sessions) onEnded();
    throw failure;
  }

  async function read(answer, as) {
    try {
      return await answer[as]();
    } catch {
      throw new ApiFailure({ kind: "offline" }); // the answer broke off
    }
  }

  const ask = async (method, path, query, body, options = {}) =>
    read(await send(method, path, query, body, options.headers), "json");

  function get(path, query, options) {
    const url = urlOf(path, query);
    const ahead = begun.get(url);
    begun.delete(url);
    return ahead || ask("GET", path, query, undefined, options);
  }

  /** Send a GET before its view is shown, so that a first view takes one round of requests. */
  function ahead(path, query) {
    const url = urlOf(path, query);
    const answer = ask("GET", path, query, undefined);
    answer.catch(() => begun.delete(url)); // a later request must not get an old failure
    begun.set(url, answer);
  }

  return {
    get,
    ahead,
    /** Drop the answers of a session that has ended here. */
    forget() {
      begun.clear();
      sessions += 1;
    },
    post: (path, body, options) => ask("POST", path, {}, body, options),
    patch: (path, body, options) => ask("PATCH", path, {}, body, options),
    delete: (path, body, options) => ask("DELETE", path, {}, body, options),
    /** A GET whose answer is text: `{text, headers}`. */
    async text(path, query) {
      const answer = await send("GET", path, query);
      return { text: await read(answer, "text"), headers: answer.headers };
    },
  };
}

/** A value for the header Idempotency-Key: one for each request with an effect, and the same for its repeats. */
export function idempotencyKey() {
  return crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))].join("-");
}
