// The limits of today and this month, and the reasons why memos are being refused: the first part of the overview.

import { number } from "./formats.js";
import { Notice } from "./parts.js";
import { html } from "./preact.js";
import { startsOver, USAGE_SAID } from "./texts-usage.js";

/** The shares of a limit from which its bar has the first and the second colour of a warning. */
const WARN_SHARE = 0.8;
const ALARM_SHARE = 0.95;

export function LeftSection({ limits }) {
  return html`<section class="section" aria-labelledby="left-title">
    <h2 id="left-title">${USAGE_SAID.leftTitle}</h2>
    <div class="left">
      <${LimitBar} name=${USAGE_SAID.today} limit=${limits.daily} />
      <${LimitBar} name=${USAGE_SAID.thisMonth} limit=${limits.monthly} />
    </div>
    <p class="hint">${USAGE_SAID.perMemo(limits.charsPerMemo)}</p>
  </section>`;
}

function LimitBar({ name, limit }) {
  const bounded = limit.limit !== "unlimited";
  return html`<div class="limit">
    <h3>${name}</h3>
    <p class="limit-left"><strong>${USAGE_SAID.left(limit)}</strong>${bounded && ` ${USAGE_SAID.leftUnit}`}</p>
    ${bounded &&
    html`<meter min="0" max=${limit.limit} low=${limit.limit * WARN_SHARE} high=${limit.limit * ALARM_SHARE} optimum="0"
      value=${limit.used} aria-label=${USAGE_SAID.meter(name)}></meter>`}
    <p class="hint">${USAGE_SAID.used(limit.used)} ${startsOver(limit.resetAt)}</p>
  </div>`;
}

/** A notice for the owner's limits, if one is used up, and for each key whose own limit is. */
export function RefusedNow({ limits, keys }) {
  const { daily, monthly } = limits;
  const keysRefused = keys.flatMap((key) => keyRefusals(key, limits).slice(0, 1));
  const owner = monthly.remaining === 0 ? USAGE_SAID.refusedMonth(monthly) : USAGE_SAID.refusedToday(daily);
  return html`
    ${(monthly.remaining === 0 || daily.remaining === 0) &&
    html`<${Notice} kind="warning" title=${USAGE_SAID.refusedTitle}>
      <p>${owner}</p>
      <p><a href="?view=plan">${USAGE_SAID.morePlan}</a></p>
    <//>`}
    ${keysRefused.map(
      ({ key, sentence }) => html`<${Notice} kind="warning" title=${USAGE_SAID.keyRefusedTitle(key.name)}>
        <p>${sentence}</p>
        <p><a href="?view=keys">${USAGE_SAID.changeKey}</a></p>
      <//>`,
    )}
  `;
}

/** The refusals of a key by its own limits now, the longest first. */
function keyRefusals(key, { daily, monthly }) {
  if (!key.isActive) return [];
  const { limits, used } = key;
  return [
    [limits.charactersPerMonth, used.charactersThisMonth, USAGE_SAID.unitMonthCharacters, monthly.resetAt],
    [limits.memosPerDay, used.memosToday, USAGE_SAID.unitDayMemos, daily.resetAt],
    [limits.charactersPerDay, used.charactersToday, USAGE_SAID.unitDayCharacters, daily.resetAt],
  ]
    .filter(([most, spent]) => most !== null && spent >= most)
    .map(([most, , unit, resetAt]) => ({ key, sentence: USAGE_SAID.keyRefused(number(most), unit, resetAt) }));
}
