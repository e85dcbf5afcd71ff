// The refusals and failures of a range, each by its name.

import { html } from "./preact.js";
import { totalOf } from "./series.js";
import { USAGE_SAID } from "./texts-usage.js";

export const REFUSALS_PATH = "/api/v1/usage";

/** The most pages of logs that are read: a log is the first refusal of a day, so four hundred are more than a year. */
const MOST_PAGES = 4;

/** The logs of refusals in a range, newest first. */
export async function loadRefusals(api, { from, to }) {
  const logs = [];
  let cursor = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await api.get(REFUSALS_PATH, refusalsQuery({ from, to }, cursor));
    logs.push(...answer.logs);
    cursor = answer.nextCursor;
    if (!answer.hasMore) break;
  }
  return logs;
}

export function refusalsQuery({ from, to }, cursor = null) {
  return { action: "error_rate_limit", from, to, limit: 100, cursor };
}

/** `days` are slots of days, grouped by action; `filtered`: the rest of the page shows only a part of the account. */
export function RefusalsSection({ logs, days, filtered }) {
  const sentences = [...refusalSentences(logs), ...failureSentences(days)];
  return html`<section class="section" aria-labelledby="refusals-title">
    <h2 id="refusals-title">${USAGE_SAID.errorsTitle}</h2>
    ${sentences.length === 0
      ? html`<p>${USAGE_SAID.noErrors}</p>`
      : html`<ul class="refusals">${sentences.map((sentence) => html`<li>${sentence}</li>`)}</ul>`}
    ${filtered && html`<p class="hint">${USAGE_SAID.errorsOfAll}</p>`}
  </section>`;
}

/** The limit that refused, from a log: the key's own by `metadata.of`, else the owner's by the code. */
function refusalSentences(logs) {
  const keys = new Map();
  const own = { day: new Set(), month: new Set(), test: new Set() };
  for (const { metadata, apiKeyName, createdAt } of logs) {
    const day = createdAt.slice(0, 10);
    if (metadata.of === "key") keys.set(apiKeyName, (keys.get(apiKeyName) ?? new Set()).add(day));
    else if (metadata.test) own.test.add(day);
    else if (metadata.code === "MONTHLY_LIMIT_EXCEEDED") own.month.add(day.slice(0, 7));
    else own.day.add(day);
  }
  return [
    ...(own.month.size ? [USAGE_SAID.monthReached([...own.month])] : []),
    ...(own.day.size ? [USAGE_SAID.limitReached([...own.day])] : []),
    ...[...keys].map(([name, days]) => USAGE_SAID.keyLimitReached(name, [...days])),
    ...(own.test.size ? [USAGE_SAID.testLimitReached([...own.test])] : []),
  ];
}

function failureSentences(days) {
  const [speech, service] = ["error_tts", "error_api"].map((action) => totalOf(days, action).errors);
  return [
    ...(speech ? [USAGE_SAID.speechFailed(speech)] : []),
    ...(service ? [USAGE_SAID.serviceFailed(service)] : []),
  ];
}
