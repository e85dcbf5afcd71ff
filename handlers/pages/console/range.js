// The range of days that the overview shows: read from the URL, with the period before it, and the requests for both.
// A day is a UTC day, "2026-11-28". `from` and `to` are inclusive.

const DAY_MS = 86_400_000;
const WEEKS_IN_A_YEAR = 52;

/** The most days of a range, and of one request by the day: the API's bound. */
const MOST_DAYS = 366;

/** The most days that are shown by the hour, and by the day: more bars would be too thin to read. */
const MOST_DAYS_BY_HOUR = 7;
const MOST_DAYS_BY_DAY = 100;

export const RANGE_NAMES = ["7", "30", "90", "12m"];
const DEFAULT_RANGE = "30";

export function dayOf(date) {
  return date.toISOString().slice(0, 10);
}

function addDays(day, count) {
  return dayOf(new Date(Date.parse(day) + count * DAY_MS));
}

export function daysIn(from, to) {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
}

/** The Monday of a day's ISO week. */
export function mondayOf(day) {
  return addDays(day, -((new Date(day).getUTCDay() + 6) % 7));
}

/**
 * The range that a URL names: {name, from, to, days, by, before: {from, to}, problem}.
 *
 * `by` is the length of a bar: "hour", "day" or "week". `problem` is the reason why a name cannot be shown, as a name
 * of RANGE_PROBLEMS; then the range is the default one. null: no problem.
 */
export function rangeOf(name, by, today) {
  const dates = /^(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)$/.exec(name ?? "");
  if (dates) {
    const problem = problemOf(dates[1], dates[2], today);
    if (problem === null) return rangeFrom(name, dates[1], dates[2], by, null);
    return { ...rangeOf(DEFAULT_RANGE, by, today), problem };
  }
  if (name === "12m") return rangeFrom(name, addDays(mondayOf(today), 7 * (1 - WEEKS_IN_A_YEAR)), today, "week", null);
  const known = RANGE_NAMES.includes(name) ? name : DEFAULT_RANGE;
  return rangeFrom(known, addDays(today, 1 - Number(known)), today, by, null);
}

/** The reason why two dates make no range: "invalid", "order", "future" or "long"; null if they do. */
export function problemOf(from, to, today) {
  if (!isDay(from) || !isDay(to)) return "invalid";
  if (from > to) return "order";
  if (to > today) return "future";
  return daysIn(from, to) > MOST_DAYS ? "long" : null;
}

export function canBeByHour(range) {
  return range.days <= MOST_DAYS_BY_HOUR;
}

/** The queries of /usage/series whose answers together cover the range and the period before it. */
export function requestsOf({ from, to, by, before }) {
  const now = { startTime: from, endTime: to, bucket: by === "hour" ? "1h" : "1d" };
  const then = { startTime: before.from, endTime: before.to, bucket: "1d" };
  if (by === "hour" || daysIn(before.from, to) > MOST_DAYS) return [then, now];
  return [{ startTime: before.from, endTime: to, bucket: "1d" }];
}

function rangeFrom(name, from, to, by, problem) {
  const days = daysIn(from, to);
  const range = { name, from, to, days, before: { from: addDays(from, -days), to: addDays(from, -1) }, problem };
  if (by === "hour" && canBeByHour(range)) return { ...range, by };
  return { ...range, by: by === "week" || days > MOST_DAYS_BY_DAY ? "week" : "day" };
}

function isDay(text) {
  const at = Date.parse(text);
  return !Number.isNaN(at) && dayOf(new Date(at)) === text;
}
