// Numbers and times for readers. Times are in the reader's zone; days and limits are in UTC, and are marked so.

const NUMBER = new Intl.NumberFormat("en");
const DATE = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const UTC_DATE = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });
const DATE_TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "short" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const DAY_S = 86_400;
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", DAY_S],
  ["hour", 3_600],
  ["minute", 60],
];

/** `12,345`. Other values than numbers, such as "unlimited", stay unchanged. */
export const number = (value) => (typeof value === "number" ? NUMBER.format(value) : String(value));

/** The characters of a text as the API counts them: an emoji is one, where `length` has two. */
export const charactersIn = (text) => [...text].length;

/** `1 memo`, `2 memos`: with a space that does not break. */
export const counted = (count, one, many = `${one}s`) => `${number(count)}\u00a0${count === 1 ? one : many}`;

/** `Nov 28, 2026`, in the reader's zone. */
export const date = (iso) => DATE.format(new Date(iso));

/** `Nov 28, 2026`, of the UTC day. */
export const utcDate = (iso) => UTC_DATE.format(new Date(iso));

/** `Nov 28, 2026, 5:50 PM`, in the reader's zone. */
export const dateTime = (iso) => DATE_TIME.format(new Date(iso));

/** `5:50 PM`, in the reader's zone. */
export const clock = (iso) => CLOCK.format(new Date(iso));

/** `3 hours ago`, `in 2 days`, `just now`. */
export function ago(iso, now = Date.now()) {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) || ["", 0];
  return unit ? RELATIVE.format(Math.round(seconds / size), unit) : "just now";
}

/** `in 5 minutes`, `in 40 seconds`: the wait that a refusal asks for. It is rounded up, so a day is the largest unit:
    the last 31 days of a month would be two of the months above. */
export function wait(seconds) {
  const [unit, size] = UNITS.find(([, length]) => length <= DAY_S && seconds >= length) || ["second", 1];
  return `in ${counted(Math.max(1, Math.ceil(seconds / size)), unit)}`;
}
