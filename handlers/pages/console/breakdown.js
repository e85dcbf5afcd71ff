// Figures by key or by voice: bars in layers, and each group with its total. A press on a group shows it alone.

import { Chart } from "./chart.js";
import { html } from "./preact.js";
import { largestGroups, layerValues } from "./series.js";
import { figure, percent, USAGE_SAID } from "./texts-usage.js";

/** Layers with a colour of their own. The other groups share one more layer: more colours would look alike. */
const MOST_LAYERS = 5;
const OTHERS_COLOUR = "--layer-others";

/**
 * `nameOf(group)` names a group, `chosen` is the one shown alone ("": none), `choose(group)` shows one, or all for "".
 * `note` is shown if these figures do not follow a filter.
 */
export function Breakdown({ id, title, slots, bars, by, measure, nameOf, chosen, choose, note }) {
  const { of, write, plain } = measure;
  const groups = largestGroups(slots, of);
  const layers = layersOf(groups, nameOf);
  const values = layerValues(slots, layers, of);
  const whole = groups.reduce((sum, { total }) => sum + total, 0);
  return html`<section class="section breakdown" aria-labelledby=${id}>
    <h2 id=${id}>${title}</h2>
    ${note && html`<p class="hint">${note}</p>`}
    ${groups.length === 0
      ? html`<p class="hint">${USAGE_SAID.nothingInRange}</p>`
      : html`
          <${Chart} title=${`${USAGE_SAID.chartTitle(measure.label, by)}, ${title.toLowerCase()}`} atRest=${chosen === "" ? USAGE_SAID.filterHint : ""} bars=${bars}
            layers=${layers.map((layer, index) => ({ ...layer, values: values[index] }))} line=${null} format=${write}
            axis=${figure} columns=${{ bar: USAGE_SAID.columns[by], total: measure.label }} />
          <ul class="groups">
            ${groups.map(
              ({ name, total }, rank) => html`<li>
                <button type="button" class="group" aria-pressed=${String(chosen === name)} disabled=${name === ""}
                  onClick=${() => choose(chosen === name ? "" : name)}>
                  <span class=${`swatch swatch-${rank < MOST_LAYERS ? rank + 1 : "others"}`} aria-hidden="true"></span>
                  <span class="group-name">${nameOf(name)}</span>
                  <span class="group-total">${plain(total)}</span>
                  <span class="group-share">${percent(total / whole)}</span>
                </button>
              </li>`,
            )}
          </ul>
        `}
  </section>`;
}

function layersOf(groups, nameOf) {
  const own = groups.length > MOST_LAYERS + 1 ? groups.slice(0, MOST_LAYERS) : groups;
  const others = groups.slice(own.length).map(({ name }) => name);
  const layers = own.map(({ name }, rank) => ({
    label: nameOf(name),
    names: [name],
    colour: rank < MOST_LAYERS ? `--layer-${rank + 1}` : OTHERS_COLOUR,
  }));
  if (others.length === 0) return layers;
  return [...layers, { label: USAGE_SAID.others(others.length), names: others, colour: OTHERS_COLOUR }];
}
