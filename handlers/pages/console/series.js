// Figures of /usage/series, without the page: bars, totals, changes and the largest groups.
//
// A slot is one bar: {start, end, groups: Map of name to counts}. `start` and `end` are ISO times, `end` exclusive.
// Counts are {calls, characters, audioSeconds, errors}. A group without a name (a removed key) is "".

import { mondayOf } from "./range.js";

const NO_COUNTS = { calls: 0, characters: 0, audioSeconds: 0, errors: 0 };

const GROUP_FIELDS = ["apiKeyId", "voice", "action"];

/** The buckets of several answers of /usage/series, in order, as slots. */
export function slotsOf(answers) {
  return answers.flatMap(({ buckets }) =>
    buckets.map(({ startTime, endTime, results }) => ({
      start: startTime,
      end: endTime,
      groups: new Map(results.map((result) => [groupOf(result), countsOf(result)])),
    })),
  );
}

/** The slots whose day is between two days, inclusive. */
export function slotsBetween(slots, { from, to }) {
  return slots.filter(({ start }) => start.slice(0, 10) >= from && start.slice(0, 10) <= to);
}

/** Slots of days added up to weeks, each from Monday; the first and the last week may have fewer days. */
export function weeksOf(slots) {
  const weeks = new Map();
  for (const slot of slots) {
    const monday = mondayOf(slot.start.slice(0, 10));
    const week = weeks.get(monday) ?? { start: slot.start, groups: new Map() };
    for (const [name, counts] of slot.groups) week.groups.set(name, plus(week.groups.get(name), counts));
    weeks.set(monday, { ...week, end: slot.end });
  }
  return [...weeks.values()];
}

/** The counts of one slot: of one group, or of all if `only` is null. */
export function countsIn({ groups }, only = null) {
  if (only !== null) return groups.get(only) ?? NO_COUNTS;
  return [...groups.values()].reduce(plus, NO_COUNTS);
}

export function totalOf(slots, only = null) {
  return slots.map((slot) => countsIn(slot, only)).reduce(plus, NO_COUNTS);
}

/** The change of a figure: {kind: "none" | "new" | "same" | "more" | "less", share}; `share` is 0.12 for 12 percent. */
export function changeOf(now, before) {
  if (before === 0) return { kind: now === 0 ? "none" : "new", share: null };
  const share = (now - before) / before;
  if (Math.abs(share) < 0.0005) return { kind: "same", share: 0 };
  return { kind: share > 0 ? "more" : "less", share: Math.abs(share) };
}

/** The groups with a total above 0 of the figure that `of` reads from counts: {name, total}, the largest first. */
export function largestGroups(slots, of) {
  const totals = new Map();
  for (const { groups } of slots)
    for (const [name, counts] of groups) totals.set(name, (totals.get(name) ?? 0) + of(counts));
  return [...totals]
    .filter(([, total]) => total > 0)
    .sort(([a, most], [b, least]) => least - most || (a < b ? -1 : 1))
    .map(([name, total]) => ({ name, total }));
}

/** The values of each bar, by layer, of the figure that `of` reads. A layer is {names}, the groups that it sums. */
export function layerValues(slots, layers, of) {
  return layers.map(({ names }) =>
    slots.map((slot) => names.reduce((sum, name) => sum + of(countsIn(slot, name)), 0)),
  );
}

function groupOf(result) {
  const field = GROUP_FIELDS.find((name) => name in result);
  return field === undefined ? "" : (result[field] ?? "");
}

function countsOf({ calls, characters, audioSeconds, errors }) {
  return { calls, characters, audioSeconds, errors };
}

function plus(a = NO_COUNTS, b = NO_COUNTS) {
  return {
    calls: a.calls + b.calls,
    characters: a.characters + b.characters,
    audioSeconds: a.audioSeconds + b.audioSeconds,
    errors: a.errors + b.errors,
  };
}
