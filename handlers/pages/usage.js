// The usage page. It asks with the session's cookie, or with an API key that it keeps in memory only. Each section asks
// for its own part, and shows its own failure. What comes from the service is only ever set as text.
"use strict";

const API = new URL("api/v1/", document.baseURI); // relative, so that it holds below a stage of API Gateway too
const PATIENCE_MS = 30_000; // API Gateway gives up then
const DAY_S = 86_400;

const BARS = uPlot.paths.bars({ size: [0.75, 48] }); // so much of a day's room, at most so many pixels

const ERROR_NAMES = {
  api: "The service failed",
  tts: "The speech provider failed",
  "rate limit": "A limit was reached",
};

const number = new Intl.NumberFormat("en");
const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact" });
const share = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const dayName = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });

const byId = (id) => document.getElementById(id);

/** Why the service did not do what was asked, in words for people. */
class Refused extends Error {
  constructor(message, { code = null, status = null, retryAfterS = null } = {}) {
    super(retryAfterS === null ? sentence(message) : `${sentence(message)} Try again ${inTime(retryAfterS)}.`);
    this.isOfCredential = status === 401 || code === "REVOKED_KEY";
    this.isMissingCredential = code === "MISSING_API_KEY";
  }
}

const sections = [
  { id: "summary", path: () => "analytics/summary", draw: drawSummary },
  { id: "limits", path: () => "usage/limits", draw: drawLimits },
  { id: "days", path: (days) => `analytics/charts?days=${days}`, draw: drawDays, ranged: true },
  { id: "voices", path: () => "analytics/voices", draw: drawVoices },
  { id: "keys", path: () => "dashboard/keys", draw: drawKeys, ofSession: true },
  { id: "memos", path: () => "memos?limit=5", draw: drawMemos },
  { id: "errors", path: (days) => `analytics/errors?${datesOf(days)}`, draw: drawErrors, ranged: true },
];

let key = null; // null: the session's cookie says who is calling
const shown = () => sections.filter(({ ofSession }) => !ofSession || key === null); // an API key may not list keys
let plots = []; // functions that draw the charts again
let running = new AbortController(); // for everything that is asked on behalf of who is signed in
const sizes = new ResizeObserver(() => redraw());

// Asking

/** The answer, read by `read`. Throws Refused, or an AbortError once the signal says so. */
async function ask(path, { method = "GET", body, as = key, signal, read = (response) => response.json() } = {}) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const response = await fetch(new URL(path, API), {
      method,
      body: body && JSON.stringify(body),
      headers: as === null ? {} : { Authorization: `Bearer ${as}` },
      credentials: "same-origin",
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    if (!response.ok) throw await refusal(response);
    return await read(response);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    if (error instanceof SyntaxError) throw new Refused("The service's answer could not be read");
    throw new Refused(patience.aborted ? "The service did not answer in time" : "The service cannot be reached");
  }
}

async function refusal(response) {
  const { error } = await response.json().catch(() => ({}));
  const waits = Number.parseInt(response.headers.get("Retry-After"), 10);
  return new Refused(error?.message ?? `The service answered ${response.status}`, {
    code: error?.code,
    status: response.status,
    retryAfterS: Number.isNaN(waits) ? null : waits,
  });
}

/** The dates of the range, for a query. */
function datesOf(days) {
  const date = (daysAgo) => new Date(Date.now() - daysAgo * DAY_S * 1000).toISOString().slice(0, 10);
  return new URLSearchParams({ startDate: date(days - 1), endDate: date(0) });
}

// Signing in and out

/** Shows the usage of the account that the cookie or the key `as` stands for, and which one it is. Throws Refused. */
async function enter(as) {
  const [{ tier }, who] = await Promise.all([
    ask("dashboard/stats", { as }),
    as === null ? ask("dashboard/account", { as }).then(({ account }) => account.email) : `API key ${as.slice(0, 12)}…`,
  ]);
  key = as;
  running = new AbortController();
  byId("who").textContent = `${who} · ${tier.displayName} plan`;
  show("usage");
  byId("keys").hidden = key !== null;
  load(shown());
}

async function enterWithCookie() {
  say("Loading…");
  try {
    await enter(null);
  } catch (error) {
    if (error.isOfCredential) return leave(error.isMissingCredential ? "" : error.message);
    show("unreachable");
    say("");
    byId("unreachable-message").textContent = why(error);
  }
}

/** Forgets who was signed in and all that was shown. */
function leave(note) {
  running.abort();
  key = null;
  plots = [];
  for (const { id } of sections) {
    setState(id, "loading");
    part(id, ".content").replaceChildren();
  }
  if (!byId("usage").hidden) byId("title").focus(); // what had the focus goes away
  byId("nothing").hidden = true;
  byId("download-problem").textContent = "";
  show("sign-in");
  say("");
  byId("sign-in-note").textContent = note;
}

function show(id) {
  for (const view of ["unreachable", "sign-in", "usage"]) byId(view).hidden = view !== id;
  byId("account").hidden = id !== "usage";
}

/** Makes a form carry out `enterBy` when it is sent, one at a time, and say what was wrong. */
function onSubmit(formId, enterBy) {
  const form = byId(formId);
  const problem = byId(`${formId}-problem`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    problem.textContent = "";
    for (const input of form.querySelectorAll("input")) input.removeAttribute("aria-invalid");
    say("Signing in…");
    try {
      await enterBy(refuseField);
      form.reset();
      byId("title").focus();
    } catch (error) {
      say("");
      problem.textContent = why(error);
    } finally {
      form.ariaBusy = "false";
    }
  });
}

/** Throws Refused, with the focus on the field that is to blame. */
function refuseField(id, message) {
  byId(id).setAttribute("aria-invalid", "true");
  byId(id).focus();
  throw new Refused(message);
}

onSubmit("by-key", async (refuse) => {
  const given = byId("key").value.trim();
  if (given === "") refuse("key", "Enter an API key");
  if (!/^[\x21-\x7e]+$/.test(given)) refuse("key", "An API key has no spaces and no special characters");
  await enter(given).catch((error) => (error.isOfCredential ? refuse("key", error.message) : Promise.reject(error)));
});

onSubmit("by-password", async (refuse) => {
  const [email, password] = ["email", "password"].map((id) => byId(id).value);
  if (email.trim() === "") refuse("email", "Enter your e-mail address");
  if (password === "") refuse("password", "Enter your password");
  await ask("auth/login", { method: "POST", body: { email, password }, as: null }).catch((error) =>
    error.isOfCredential ? refuse("password", error.message) : Promise.reject(error),
  );
  await enter(null);
});

byId("sign-out").addEventListener("click", async () => {
  if (key === null) {
    try {
      await ask("auth/logout", { method: "POST" });
    } catch (error) {
      say(`You are still signed in. ${why(error)}`);
      return;
    }
  }
  leave("");
  say("You are signed out.");
});

byId("try-again").addEventListener("click", enterWithCookie);

// Loading

const chosenDays = () => Number(document.querySelector("#range input:checked").value);

/** Loads sections side by side, and says how it went once nothing is being loaded any more. */
async function load(some) {
  const { signal } = running;
  const days = chosenDays();
  say("Loading…");
  await Promise.all(some.map((section) => loadSection(section, days)));
  if (signal.aborted || shown().some(({ id }) => byId(id).ariaBusy === "true")) return;
  const failed = shown().filter(({ id }) => byId(id).dataset.state === "failed").length;
  say(failed ? `${failed} of ${shown().length} parts could not be loaded.` : `The last ${days} days are shown.`);
}

async function loadSection(section, days) {
  section.running?.abort();
  section.running = new AbortController();
  const signal = AbortSignal.any([running.signal, section.running.signal]);
  setState(section.id, byId(section.id).dataset.state === "ready" ? "renewing" : "loading");
  try {
    const answer = await ask(section.path(days), { signal });
    section.draw(part(section.id, ".content"), answer.data ?? answer);
    setState(section.id, "ready");
  } catch (error) {
    if (signal.aborted) return;
    if (error.isOfCredential) leave(error.message);
    else setState(section.id, "failed", why(error), () => load([section]));
  }
}

function setState(id, state, message = "", retry = null) {
  const element = byId(id);
  const busy = state === "loading" || state === "renewing";
  element.dataset.state = state;
  element.ariaBusy = String(busy);
  const told = {
    loading: () => [make("p", { textContent: "Loading…" })],
    failed: () => [make("p", { textContent: message }), retryButton(element, retry)],
  }[state];
  part(id, ".answer").replaceChildren(...(told ? told() : []));
}

function retryButton(element, retry) {
  const button = make("button", { type: "button", textContent: "Try again" });
  button.setAttribute("aria-describedby", element.getAttribute("aria-labelledby"));
  button.addEventListener("click", () => {
    element.querySelector("h2").focus(); // the button goes away
    retry();
  });
  return button;
}

byId("range").addEventListener("change", () => load(sections.filter(({ ranged }) => ranged)));

byId("download").addEventListener("click", async () => {
  const { signal } = running;
  byId("download-problem").textContent = "";
  say("Preparing the download…");
  try {
    const path = `analytics/export?days=${chosenDays()}&format=csv`;
    const read = async (response) => ({ blob: await response.blob(), name: fileName(response) });
    const { blob, name } = await ask(path, { signal, read });
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), PATIENCE_MS);
    say("The file was downloaded.");
  } catch (error) {
    if (signal.aborted) return;
    say("");
    if (error.isOfCredential) leave(error.message);
    else byId("download-problem").textContent = why(error);
  }
});

function fileName(response) {
  const given = /filename="([\w.-]+)"/.exec(response.headers.get("Content-Disposition"));
  return given?.[1] ?? `agent-talk-usage-${new Date().toISOString().slice(0, 10)}.csv`;
}

// Drawing

function drawSummary(content, all) {
  byId("nothing").hidden = all.totalCalls > 0;
  for (const id of ["days", "voices", "memos"]) byId(id).hidden = all.totalCalls === 0;
  const tiles = [
    ["Calls today", number.format(all.callsToday)],
    ["This week", number.format(all.callsThisWeek)],
    ["This month", number.format(all.callsThisMonth)],
    ["Calls in all", number.format(all.totalCalls)],
    ["Characters in all", number.format(all.totalCharacters)],
    ["Characters a call", decimal.format(all.avgCharactersPerCall)],
    ["Most used voice", capitalized(all.mostUsedVoice ?? "none")],
  ];
  content.replaceChildren(
    ...tiles.map(([term, value]) =>
      make("div", {}, make("dt", { textContent: term }), make("dd", { textContent: value })),
    ),
  );
}

/** The latest memos, each with a player. Nothing is fetched before it is played. */
function drawMemos(content, { memos }) {
  content.replaceChildren(
    ...memos.map(({ text, title, voice, audio, createdAt }) => {
      const name = title ?? (text.length > 60 ? `${text.slice(0, 60)}…` : text);
      const said = `${voice.name}, ${decimal.format(audio.duration)} s, ${momentOf(createdAt)}`;
      return make(
        "li",
        {},
        make("p", {}, make("strong", { textContent: name }), make("span", { className: "hint", textContent: said })),
        audio.status === "ready"
          ? make("audio", { controls: true, preload: "none", src: audio.url, ariaLabel: `Play: ${name}` })
          : make("p", { className: "hint", textContent: "Its audio is not ready." }),
      );
    }),
  );
}

/** All keys, with what was used today of those limits that are their own. */
function drawKeys(content, { keys }) {
  const rows = keys.map((apiKey) => [
    make("span", {}, apiKey.name, make("span", { className: "hint masked", textContent: apiKey.maskedKey })),
    number.format(apiKey.usageCount),
    apiKey.lastUsedAt === null ? "never" : momentOf(apiKey.lastUsedAt),
    endOf(apiKey),
    limitsOf(apiKey),
  ]);
  const scroll = make("div", { className: "rows", tabIndex: 0, role: "group", ariaLabel: "API keys, table" });
  scroll.append(table(["Key", "Uses", "Last use", "End", "Its own limits"], rows));
  content.replaceChildren(scroll);
}

function endOf({ isActive, expiresAt, rotatedTo }) {
  if (!isActive) return rotatedTo === null ? "over" : "replaced";
  return expiresAt === null ? "none" : `${expiresAt.slice(0, 10)} ${expiresAt.slice(11, 16)} UTC`;
}

function limitsOf({ limits, used }) {
  const told = [
    [limits.memosPerDay, used.memosToday, "memos today"],
    [limits.charactersPerDay, used.charactersToday, "characters today"],
    [limits.charactersPerMonth, used.charactersThisMonth, "characters this month"],
  ].filter(([most]) => most !== null);
  return told.map(([most, spent, of]) => `${number.format(spent)} of ${number.format(most)} ${of}`).join(", ") || "none";
}

function drawLimits(content, { tier, daily, monthly, charsPerMemo, maxApiKeys }) {
  const most = charsPerMemo === "unlimited" ? "any length" : `at most ${number.format(charsPerMemo)} characters`;
  content.replaceChildren(
    limit("Today", daily),
    limit("This month", monthly),
    make("p", {
      className: "hint",
      textContent: `On the ${tier} plan a memo has ${most}, and you can have ${number.format(maxApiKeys)} API keys.`,
    }),
  );
}

function limit(name, { limit: most, used, remaining, resetAt }) {
  const bounded = most !== "unlimited";
  const left = bounded ? `${number.format(remaining)} of ${number.format(most)} left` : "no limit";
  const meter = () => {
    const marks = { min: 0, max: most, low: most * 0.8, high: most * 0.95, optimum: 0, value: used };
    return make("meter", { ...marks, ariaLabel: `${name}: used` });
  };
  return make(
    "div",
    { className: "limit" },
    make("p", {}, make("span", { textContent: name }), make("strong", { textContent: left })),
    bounded && meter(),
    make("p", { className: "hint", textContent: `${number.format(used)} used. Starts over ${momentOf(resetAt)}.` }),
  );
}

function drawDays(content, { daily }) {
  plots = [];
  sizes.disconnect();
  content.replaceChildren(chart("Calls per day", "calls", daily), chart("Characters per day", "characters", daily));
}

/** A bar for each day, to look at with pointer or arrow keys, and the same as a table. */
function chart(title, field, daily) {
  const days = daily.map(({ date }) => Date.parse(date) / 1000);
  const values = daily.map((day) => day[field]);
  const total = values.reduce((sum, value) => sum + value, 0);
  const atRest = `${number.format(total)} ${field} in ${number.format(daily.length)} days`;
  const readout = make("span", { className: "readout", textContent: atRest });
  const area = make("div", { className: "plot", tabIndex: 0, role: "slider", ariaLabel: `${title}, day` });
  area.ariaValueMin = "1";
  area.ariaValueMax = String(daily.length);
  let plot = null;

  const look = (index) => {
    const told = index === null ? atRest : `${daily[index].date}: ${number.format(values[index])} ${field}`;
    readout.textContent = told;
    area.ariaValueNow = String((index ?? daily.length - 1) + 1);
    area.ariaValueText = told;
  };
  look(null);

  area.addEventListener("keydown", (event) => {
    const at = plot.cursor.idx ?? null;
    const last = daily.length - 1;
    const next = {
      ArrowLeft: at === null ? last : Math.max(0, at - 1),
      ArrowDown: at === null ? last : Math.max(0, at - 1),
      ArrowRight: at === null ? 0 : Math.min(last, at + 1),
      ArrowUp: at === null ? 0 : Math.min(last, at + 1),
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    plot.setCursor({ left: plot.valToPos(plot.data[0][next], "x"), top: 0 });
  });
  area.addEventListener("blur", () => plot.setCursor({ left: -10, top: -10 }));

  plots.push(() => {
    plot?.destroy();
    plot = new uPlot(options(area, `--${field}`, look), [days, values], area);
  });
  sizes.observe(area); // which draws it, once it has a size

  const rows = daily.toReversed().map((day) => [day.date, number.format(day[field])]);
  const scroll = make("div", { className: "rows", tabIndex: 0, role: "group", ariaLabel: `${title}, table` });
  scroll.append(table(["Day (UTC)", field === "calls" ? "Calls" : "Characters"], rows));
  return make(
    "figure",
    {},
    make("figcaption", {}, make("span", { textContent: title }), readout),
    area,
    make("details", {}, make("summary", { textContent: `${title} as a table` }), scroll),
  );
}

function options(element, colour, look) {
  const styles = getComputedStyle(document.documentElement);
  const of = (name) => styles.getPropertyValue(name);
  const axis = { stroke: of("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    legend: { show: false },
    padding: [8, 24, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: false, range: (_, first, last) => [first - DAY_S / 2, last + DAY_S / 2] },
      y: { range: (_, __, most) => [0, Math.max(4, most * 1.05)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        splits: labelledDays,
        values: (_, days) => days.map((day) => dayName.format(day * 1000)),
      },
      {
        ...axis,
        grid: { stroke: of("--line"), width: 1 },
        size: 48,
        incrs: Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat(),
        values: (_, counts) => counts.map((count) => short.format(count)),
      },
    ],
    series: [{}, { fill: of(colour), width: 0, points: { show: false }, paths: BARS }],
    hooks: { setCursor: [(plot) => look(plot.cursor.left < 0 ? null : plot.cursor.idx)] },
  };
}

/** As many days as there is room for, evenly apart, the last one among them. */
function labelledDays(plot) {
  const days = plot.data[0];
  const step = Math.ceil(days.length / Math.max(1, Math.floor(plot.width / 80)));
  return days.filter((_, index) => (days.length - 1 - index) % step === 0);
}

function drawVoices(content, voices) {
  const bar = (percentage) => {
    const filled = make("span", {});
    filled.style.width = `${percentage}%`;
    return make("span", { className: "share", ariaHidden: "true" }, filled);
  };
  const rows = voices.map(({ voiceName, callCount, percentage }) => [
    make("span", {}, voiceName, bar(percentage)),
    number.format(callCount),
    share.format(percentage / 100),
  ]);
  content.replaceChildren(rows.length ? table(["Voice", "Calls", "Share"], rows) : "No calls yet.");
}

function drawErrors(content, { totalRequests, totalErrors, errorsByType }) {
  const [failed, asked] = [totalErrors, totalRequests].map((count) => number.format(count));
  const told = totalErrors
    ? `${failed} of ${asked} requests failed (${share.format(totalErrors / totalRequests)}).`
    : totalRequests
      ? `None in ${asked} requests.`
      : "No requests in this range.";
  const rows = errorsByType.map(({ errorType, count, percentage }) => [
    ERROR_NAMES[errorType] ?? errorType,
    number.format(count),
    share.format(percentage / 100),
  ]);
  const types = rows.length ? [table(["Error", "Count", "Share"], rows)] : [];
  content.replaceChildren(make("p", { textContent: told }), ...types);
}

/** The first cell of a row is its header. */
function table(heads, rows) {
  const row = ([first, ...others]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...others.map((cell) => make("td", {}, cell)));
  const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col", textContent: name })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map(row)));
}

/** An element with properties and children, which are elements, texts, or false for none. */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== false));
  return element;
}

function part(id, selector) {
  return byId(id).querySelector(selector);
}

function say(text) {
  byId("status").textContent = text;
}

/** What to tell of anything that was thrown: an answer of another shape than expected throws errors of the language. */
function why(error) {
  if (error instanceof Refused) return error.message;
  console.error(error);
  return "The service's answer was not understood.";
}

function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function inTime(seconds) {
  const unit = new Intl.RelativeTimeFormat("en");
  if (seconds < 120) return unit.format(seconds, "second");
  if (seconds < 7200) return unit.format(Math.ceil(seconds / 60), "minute");
  return unit.format(Math.ceil(seconds / 3600), "hour");
}

function momentOf(iso) {
  return `on ${dayName.format(new Date(iso))} at ${iso.slice(11, 16)} UTC`;
}

function redraw() {
  for (const plot of plots) plot();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

byId("example").textContent = [
  `curl ${new URL("memo", API)} \\`,
  `  -H "Authorization: Bearer $KEY" \\`,
  `  -d '{"text": "Hello, world", "voice": "rachel"}'`,
].join("\n");

enterWithCookie();
