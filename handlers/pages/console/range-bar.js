// The tools above the figures: their days, the length of a bar, and the figures as a file.

import { Button, Field, Form } from "./parts.js";
import { html, useState } from "./preact.js";
import { canBeByHour, problemOf, RANGE_NAMES } from "./range.js";
import { USAGE_SAID } from "./texts-usage.js";

export function RangeBar({ range, today, go, download }) {
  const isCustom = !RANGE_NAMES.includes(range.name);
  const [choosing, setChoosing] = useState(isCustom);
  const show = (name) => (setChoosing(false), go({ range: name }));
  return html`<section class="range-bar" aria-labelledby="range-title">
    <h2 id="range-title" class="unseen">${USAGE_SAID.rangeTitle}</h2>
    <div class="range-row">
      <div class="segments" role="group" aria-labelledby="range-title">
        ${RANGE_NAMES.map(
          (name) => html`<${Segment} pressed=${!choosing && range.name === name} press=${() => show(name)}>
            ${USAGE_SAID.ranges[name]}
          <//>`,
        )}
        <${Segment} pressed=${choosing} press=${() => setChoosing(true)}>${USAGE_SAID.dates}<//>
      </div>
      ${canBeByHour(range) &&
      html`<div class="segments" role="group" aria-label=${USAGE_SAID.byTitle}>
        ${["day", "hour"].map(
          (by) => html`<${Segment} pressed=${range.by === by} press=${() => go({ by: by === "hour" ? by : "" })}>
            ${USAGE_SAID.by[by]}
          <//>`,
        )}
      </div>`}
      <${Button} kind="range-file" onClick=${download} aria-disabled=${download ? null : "true"}>${USAGE_SAID.download}<//>
    </div>
    ${choosing && html`<${DatesForm} range=${range} today=${today} go=${go} />`}
    <p class="hint">${USAGE_SAID.spanOf(range)}. ${USAGE_SAID.daysAreUtc}</p>
  </section>`;
}

function Segment({ pressed, press, children }) {
  return html`<button type="button" class="segment" aria-pressed=${String(pressed)} onClick=${press}>${children}</button>`;
}

function DatesForm({ range, today, go }) {
  const check = ({ from, to }) => {
    const problem = problemOf(from, to, today);
    if (problem === null) return {};
    return { [problem === "invalid" && from === "" ? "from" : "to"]: USAGE_SAID.problems[problem] };
  };
  const send = async ({ from, to }) => go({ range: `${from}..${to}`, by: "" });
  return html`<${Form} class="dates" send=${send} check=${check} label=${USAGE_SAID.showDates} working=${USAGE_SAID.showingDates}>
    <${Field} name="from" type="date" label=${USAGE_SAID.from} defaultValue=${range.from} max=${today} required />
    <${Field} name="to" type="date" label=${USAGE_SAID.to} defaultValue=${range.to} max=${today} required />
  <//>`;
}
