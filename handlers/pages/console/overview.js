// The overview: the limits, and the figures of a range. The range, the figure and the filter are in the URL.

import { firstCall } from "./access.js";
import { Breakdown } from "./breakdown.js";
import { Chart } from "./chart.js";
import { csvOf, saveFile } from "./csv.js";
import { LeftSection, RefusedNow } from "./left.js";
import { Button, Copy, Empty, Heading, Loaded, Notice, useLoaded } from "./parts.js";
import { html, useState } from "./preact.js";
import { RangeBar } from "./range-bar.js";
import { dayOf, rangeOf, requestsOf } from "./range.js";
import { loadRefusals, REFUSALS_PATH, RefusalsSection, refusalsQuery } from "./refusals.js";
import { changeOf, countsIn, slotsBetween, slotsOf, totalOf, weeksOf } from "./series.js";
import { barName, figure, MEASURES, USAGE_SAID } from "./texts-usage.js";

const STANDING_PATHS = ["/api/v1/usage/limits", "/api/keys", "/api/v1/analytics/summary"];
const SERIES_PATH = "/api/v1/usage/series";

/** The GETs of a first view of the overview: [path, query] each. */
export function overviewFirst(route) {
  const range = rangeOf(route.range, route.by, dayOf(new Date()));
  const series = seriesQueries(range).flatMap((queries) => queries.map((query) => [SERIES_PATH, query]));
  return [...STANDING_PATHS.map((path) => [path]), ...series, [REFUSALS_PATH, refusalsQuery(range)]];
}

export function OverviewView({ route, go, api }) {
  const [today] = useState(() => dayOf(new Date()));
  const range = rangeOf(route.range, route.by, today);
  const standing = useLoaded(() => loadStanding(api), []);
  const figures = useLoaded(() => loadFigures(api, range), [range.from, range.to, range.by]);
  const keys = standing.value?.keys ?? [];
  const isNew = standing.value !== null && standing.value.summary.totalCalls === 0;
  const shown = figures.value;
  const download = shown && !figures.loading && !figures.failure && (() => saveFigures(shown, namesOf(keys)));
  return html`<div class="overview">
    <div class="view-head"><${Heading}>${USAGE_SAID.title}<//></div>
    <${Loaded} of=${standing}>
      ${({ limits }) => html`<${RefusedNow} limits=${limits} keys=${keys} /><${LeftSection} limits=${limits} />`}
    <//>
    ${range.problem && html`<${Notice} kind="warning" title=${USAGE_SAID.notThatRange} />`}
    ${isNew
      ? html`<${FirstMemo} />`
      : html`
          <${RangeBar} range=${range} today=${today} go=${go} download=${download} />
          <${Loaded} of=${figures}>
            ${() => html`<div class="figures" aria-busy=${String(figures.loading)}>
              <p class="unseen" role="status">${figures.loading ? "" : USAGE_SAID.shown(shown.range)}</p>
              <${FiguresOf} figures=${shown} limits=${standing.value?.limits} keys=${keys} route=${route} go=${go} />
            </div>`}
          <//>
          ${standing.value && html`<p class="hint">${USAGE_SAID.inAll(standing.value.summary)} ${USAGE_SAID.testKeys}</p>`}
        `}
  </div>`;
}

function FirstMemo() {
  return html`<${Empty} title=${USAGE_SAID.emptyTitle}>
    <p>${USAGE_SAID.emptyText}</p>
    <p><a class="button primary" href="?view=memos">${USAGE_SAID.emptyAction}</a></p>
    <p>${USAGE_SAID.exampleHint} <code>$KEY</code>:</p>
    <${Copy} text=${firstCall("$KEY")} label=${USAGE_SAID.example} />
  <//>`;
}

/** The figures of a range, filtered by a key or a voice if the route has one. */
function FiguresOf({ figures, limits, keys, route, go }) {
  const { range, byKey, byVoice, actions, refusals } = figures;
  const measure = MEASURES[nameOfMeasure(route)];
  const filter = filterOf(route, keys);
  const { bars: slots, before } = filter.of === "voice" ? byVoice : byKey;
  const names = slots.map((slot) => barName(slot, range.by));
  const shared = { bars: names, by: range.by, measure };
  const total = measure.of(totalOf(slots, filter.name));
  const values = slots.map((slot) => measure.of(countsIn(slot, filter.name)));
  return html`
    <section class="section" aria-labelledby="figures-title">
      <div class="figures-head">
        <h2 id="figures-title">${USAGE_SAID.figuresTitle}${filter.label && html`: ${USAGE_SAID.only(filter.label)}`}</h2>
        ${filter.label && html`<${Button} kind="small" onClick=${() => go({ key: "", voice: "" })}>${USAGE_SAID.all}<//>`}
      </div>
      <${MeasureTiles} slots=${slots} before=${before} only=${filter.name} range=${range} route=${route} go=${go} />
      <${Chart} title=${USAGE_SAID.chartTitle(measure.label, range.by)} atRest=${USAGE_SAID.atRest(total, measure.write, range)}
        bars=${names} layers=${[{ label: measure.label, colour: "--layer-1", values }]}
        line=${lineOf(measure, range, limits, filter)} format=${measure.write} axis=${figure}
        columns=${{ bar: USAGE_SAID.columns[range.by], total: measure.label }} />
    </section>
    <div class="breakdowns">
      <${Breakdown} id="by-key-title" title=${USAGE_SAID.byKey} slots=${byKey.bars} nameOf=${namesOf(keys).key} ...${shared}
        chosen=${filter.of === "key" ? filter.name : ""} choose=${(key) => go({ key, voice: "" })}
        note=${filter.of === "voice" ? USAGE_SAID.notByBothVoices : ""} />
      <${Breakdown} id="by-voice-title" title=${USAGE_SAID.byVoice} slots=${byVoice.bars} nameOf=${namesOf(keys).voice} ...${shared}
        chosen=${filter.of === "voice" ? filter.name : ""} choose=${(voice) => go({ voice, key: "" })}
        note=${filter.of === "key" ? USAGE_SAID.notByBoth : ""} />
    </div>
    <${RefusalsSection} logs=${refusals} days=${actions} filtered=${filter.name !== null} />
  `;
}

const nameOfMeasure = ({ measure }) => (Object.hasOwn(MEASURES, measure) ? measure : "calls");

/** Each figure with its change against the period before. A press shows it in the charts. */
function MeasureTiles({ slots, before, only, range, route, go }) {
  const chosen = nameOfMeasure(route);
  return html`<ul class="tiles">
    ${Object.entries(MEASURES).map(([name, { label, of, plain }]) => {
      const [now, then] = [slots, before].map((some) => of(totalOf(some, only)));
      return html`<li>
        <button type="button" class="tile" aria-pressed=${String(chosen === name)} onClick=${() => go({ measure: name })}>
          <span class="tile-label">${label}</span>
          <span class="tile-value">${plain(now)}</span>
          <span class="tile-change">${USAGE_SAID.change(changeOf(now, then), range)}</span>
        </button>
      </li>`;
    })}
  </ul>`;
}

/** The filter of a route: {of: "key", "voice" or null, name, label}; a name of null: no filter. */
function filterOf(route, keys) {
  const of = route.key ? "key" : route.voice ? "voice" : null;
  return of === null ? { of, name: null, label: "" } : { of, name: route[of], label: namesOf(keys)[of](route[of]) };
}

/** Functions that name a key and a voice. */
function namesOf(keys) {
  return {
    key: (id) => (id === "" ? USAGE_SAID.noKey : (keys.find((key) => key.id === id)?.name ?? USAGE_SAID.removedKey)),
    voice: (id) => (id === "" ? USAGE_SAID.noVoice : id.charAt(0).toUpperCase() + id.slice(1)),
  };
}

/** The limit of a day as a line: the owner's, or the chosen key's own. */
function lineOf(measure, range, limits, filter) {
  if (range.by !== "day" || limits === undefined || filter.of === "voice") return null;
  if (filter.of === "key") {
    const own = limits.ofKeys[filter.name]?.[measure === MEASURES.calls ? "memosPerDay" : "charactersPerDay"] ?? null;
    return own === null || measure === MEASURES.audio ? null : { value: own, label: USAGE_SAID.keyLimitLine(own) };
  }
  const most = limits.daily.limit;
  return measure !== MEASURES.calls || most === "unlimited" ? null : { value: most, label: USAGE_SAID.limitLine(most) };
}

async function loadStanding(api) {
  const [limits, { keys }, { data }] = await Promise.all(STANDING_PATHS.map((path) => api.get(path)));
  const ofKeys = Object.fromEntries(keys.map((key) => [key.id, key.limits]));
  return { limits: { ...limits, ofKeys }, keys, summary: data };
}

async function loadFigures(api, range) {
  const series = seriesQueries(range).map((queries) => Promise.all(queries.map((query) => api.get(SERIES_PATH, query))));
  const [refusals, ...answers] = await Promise.all([loadRefusals(api, range), ...series]);
  const [keys, voices, actions] = answers.map(slotsOf);
  return { range, byKey: barsOf(keys, range), byVoice: barsOf(voices, range), actions, refusals };
}

/** The queries by key and by voice, with the period before, and by action, for the days of the range alone. */
function seriesQueries(range) {
  const requests = requestsOf(range);
  const days = { startTime: range.from, endTime: range.to, bucket: "1d", groupBy: "action" };
  return [...["key", "voice"].map((groupBy) => requests.map((request) => ({ ...request, groupBy }))), [days]];
}

function barsOf(slots, range) {
  const own = slotsBetween(slots, range);
  return { bars: range.by === "week" ? weeksOf(own) : own, before: slotsBetween(slots, range.before) };
}

function saveFigures({ range, byKey, byVoice }, names) {
  const head = ["Start (UTC)", "End (UTC)", "By", "Name", "Memos", "Characters", "Audio (seconds)"];
  const rows = [["key", byKey], ["voice", byVoice]].flatMap(([by, { bars }]) =>
    bars.flatMap(({ start, end, groups }) =>
      [...groups]
        .filter(([, { calls }]) => calls > 0)
        .map(([id, counts]) => [names[by](id), counts])
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([name, { calls, characters, audioSeconds }]) => [
          start, end, by, name, calls, characters, Math.round(audioSeconds * 1000) / 1000,
        ]),
    ),
  );
  saveFile(`agent-talk-figures-${range.from}-to-${range.to}.csv`, csvOf([head, ...rows]), "text/csv;charset=utf-8");
}
