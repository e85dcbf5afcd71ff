// The sentences of the overview. See texts.js: every sentence of the console is in a module of this name.

import { clock, counted, date, dateTime, number, utcDate, wait } from "./formats.js";

const minutesOf = (minutes) => (minutes < 1 ? `${DECIMAL.format(minutes * 60)}\u00a0s` : `${DECIMAL.format(minutes)}\u00a0min`);
const DECIMAL = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const WHOLE_SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const SHORT_DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
const LONG_DAY = new Intl.DateTimeFormat("en", { dateStyle: "full", timeZone: "UTC" });
const UTC_HOUR = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" });
const AND = new Intl.ListFormat("en", { type: "conjunction" });

/** The most days that a sentence lists by name; it counts the others. */
const LISTED_DAYS = 3;

/** The name and form of each figure: in full, and `plain` beside its name. `of` reads it from counts. */
export const MEASURES = {
  calls: { label: "Memos", of: ({ calls }) => calls, write: (count) => counted(count, "memo"), plain: number },
  characters: {
    label: "Characters",
    of: ({ characters }) => characters,
    write: (count) => counted(count, "character"),
    plain: number,
  },
  audio: {
    label: "Audio",
    of: ({ audioSeconds }) => audioSeconds / 60,
    write: minutesOf,
    plain: minutesOf,
  },
};

export const figure = (value, { compact = false } = {}) => (compact ? COMPACT : DECIMAL).format(value);

export const USAGE_SAID = {
  title: "Overview",
  leftTitle: "What is left",
  today: "Memos today",
  thisMonth: "Memos this month",
  left: ({ limit, remaining }) => (limit === "unlimited" ? "No limit" : `${number(remaining)} of ${number(limit)}`),
  leftUnit: "left",
  used: (used) => `${counted(used, "memo")} made.`,
  meter: (name) => `${name}: made, of the limit`,
  perMemo: (most) =>
    most === "unlimited" ? "A memo may have any length up to 100,000 characters." : `A memo has at most ${counted(most, "character")}.`,

  refusedTitle: "New memos are being refused",
  refusedToday: ({ limit, resetAt }, now) =>
    `Today's limit of ${counted(limit, "memo")} is used up. The next memo can be made ${resetIn(resetAt, now)}.`,
  refusedMonth: ({ limit, resetAt }, now) =>
    `This month's limit of ${counted(limit, "memo")} is used up. The next memo can be made ${resetIn(resetAt, now)}.`,
  keyRefusedTitle: (name) => `Memos with the key “${name}” are being refused`,
  keyRefused: (limit, unit, resetAt, now) =>
    `Its own limit of ${limit} ${unit} is used up. It can be used again ${resetIn(resetAt, now)}. Other keys go on.`,
  morePlan: "See the plans",
  changeKey: "Change the key's limit",
  unitDayMemos: "memos a day",
  unitDayCharacters: "characters a day",
  unitMonthCharacters: "characters a month",

  rangeTitle: "Range",
  ranges: { 7: "7 days", 30: "30 days", 90: "90 days", "12m": "12 months" },
  dates: "Two dates",
  from: "First day",
  to: "Last day",
  showDates: "Show",
  showingDates: "Loading…",
  daysAreUtc: "Days are UTC days.",
  byTitle: "Bars",
  by: { day: "By day", hour: "By hour" },
  problems: {
    invalid: "Enter a day.",
    order: "The last day is before the first day.",
    future: "The last day is later than today.",
    long: "A range has at most 366 days.",
  },
  notThatRange: "The address names a range that cannot be shown, so the last 30 days are shown.",
  spanOf: (range) => `${utcDate(range.from)} – ${utcDate(range.to)}, ${lengthOf(range)}`,
  download: "Download as CSV",
  shown: ({ from, to }) => `Figures from ${utcDate(from)} to ${utcDate(to)} are shown.`,

  figuresTitle: "What was used",
  change: ({ kind, share }, range) => {
    const before = `in the ${lengthOf(range)} before`;
    if (kind === "none") return `None ${before} either`;
    if (kind === "new") return `None ${before}`;
    if (kind === "same") return `As many as ${before}`;
    return `${percent(share)} ${kind} than ${before}`;
  },
  only: (label) => `Only ${label}`,
  all: "Show all",
  chartTitle: (measure, by) => `${measure} by ${by}`,
  limitLine: (limit) => `Daily limit: ${number(limit)}`,
  keyLimitLine: (limit) => `This key's daily limit: ${number(limit)}`,
  lineIsAbove: (label) => `${label}, far above these bars.`,
  asTable: "As a table",
  tableOf: (title) => `${title}, table`,
  barByBar: (title) => `${title}, bar by bar`,
  columns: { day: "Day (UTC)", week: "Week from", hour: "Hour (UTC)" },
  atRest: (total, write, range) => `${write(total)} in ${lengthOf(range)}`,

  byKey: "By key",
  byVoice: "By voice",
  others: (count) => `${number(count)} others`,
  noKey: "Without a key",
  removedKey: "A key that is gone",
  noVoice: "Without a voice",
  notByBoth: "The figures are kept by key and by voice, not by both: this shows all keys.",
  notByBothVoices: "The figures are kept by key and by voice, not by both: this shows all voices.",
  filterHint: "Press a name below to see it alone.",
  nothingInRange: "No memos were made in these days.",
  testKeys: "Memos of test keys are not counted.",
  inAll: ({ totalCalls, totalCharacters, avgCharactersPerCall }) =>
    `Since the beginning: ${counted(totalCalls, "memo")}, ${counted(totalCharacters, "character")}, ${DECIMAL.format(avgCharactersPerCall)} a memo on average.`,

  errorsTitle: "Refused and failed",
  noErrors: "Nothing was refused and nothing failed.",
  limitReached: (days) => `The daily limit was reached on ${onDays(days)}.`,
  monthReached: (months) => `The monthly limit was reached in ${AND.format(months.map(monthName))}.`,
  keyLimitReached: (name, days) => `The key “${name}” reached a limit of its own on ${onDays(days)}.`,
  testLimitReached: (days) => `The limit of test memos was reached on ${onDays(days)}.`,
  speechFailed: (count) => `Speech failed for ${counted(count, "memo")}. What failed was not charged.`,
  serviceFailed: (count) => `The service failed for ${counted(count, "request")}. What failed was not charged.`,
  errorsOfAll: "This is for all keys and voices.",

  emptyTitle: "No memos yet",
  emptyText: "Your figures appear here once you have made a memo.",
  emptyAction: "Make your first memo",
  exampleHint: "Or in a terminal, with your API key in place of",
  example: "command",
};

/** `in 5 hours, at midnight UTC (1:00 AM for you)`; for another day than tomorrow with the day. */
export function resetIn(resetAt, now = Date.now()) {
  const seconds = Math.max(1, (Date.parse(resetAt) - now) / 1000);
  const soon = seconds <= 86_400;
  const utc = `${soon ? "" : `on ${utcDate(resetAt)} `}at midnight UTC`;
  const isUtc = new Date(resetAt).getTimezoneOffset() === 0;
  const isSameDay = date(resetAt) === utcDate(resetAt);
  const own = isUtc ? "" : ` (${(soon || isSameDay ? clock(resetAt) : dateTime(resetAt)).replace(/ (?=[AP]M$)/, "\u00a0")} for you)`;
  return `${wait(seconds)}, ${utc}${own}`;
}

export const startsOver = (resetAt, now) => `Starts over ${resetIn(resetAt, now)}.`;

export const percent = (share) => (share >= 0.1 ? WHOLE_SHARE : SHARE).format(share);

/** The name of a bar: {name, short}. */
export function barName({ start, end }, by) {
  const at = new Date(start);
  if (by === "hour") {
    const hour = UTC_HOUR.format(at);
    return { name: `${SHORT_DAY.format(at)}, ${hour} UTC`, short: hour === "00:00" ? SHORT_DAY.format(at) : hour };
  }
  if (by === "day") return { name: LONG_DAY.format(at), short: SHORT_DAY.format(at) };
  const last = new Date(Date.parse(end) - 1);
  return { name: `${SHORT_DAY.format(at)} – ${utcDate(last.toISOString())}`, short: SHORT_DAY.format(at) };
}

const lengthOf = ({ name, days }) => (name === "12m" ? "12\u00a0months" : counted(days, "day"));

function onDays(days) {
  const named = days.slice(0, LISTED_DAYS).map((day) => SHORT_DAY.format(new Date(day)));
  const more = days.length - named.length;
  const listed = more > 0 ? [...named, `${number(more)} more`] : named;
  return `${counted(days.length, "day")}: ${AND.format(listed)}`;
}

function monthName(month) {
  return new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" }).format(new Date(month));
}
