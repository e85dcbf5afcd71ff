// The sentences of the memos view. See texts.js: every sentence of the console is in a module of this name.

import { counted, number, wait } from "./formats.js";
import { resetIn } from "./texts-usage.js";

const SECONDS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const FAILURES = {
  TTS_SERVICE_ERROR: "The speech provider failed.",
  STORAGE_ERROR: "The audio could not be stored.",
  SERVICE_UNAVAILABLE: "The data store could not be reached.",
};

export const MEMO_SAID = {
  title: "Memos",
  sayTitle: "Say something",
  text: "Text",
  textLeft: (left) => (left < 0 ? `${counted(-left, "character")} too many.` : `${counted(left, "character")} left.`),
  noText: "Enter what is to be said.",
  longText: (most, has) => `A memo on your plan has at most ${counted(most, "character")}; this one has ${number(has)}.`,
  voice: "Voice",
  voiceOption: ({ name, description }) => `${name}: ${description.toLowerCase()}`,
  hear: "Hear",
  stop: "Stop",
  noSample: "The sample cannot be played.",
  more: "Title, format and API key",
  memoTitle: "Title (optional)",
  format: "Audio format",
  formats: { mp3: "MP3", wav: "WAV", opus: "Opus" },
  key: "API key",
  pageKey: "A key for this page, for an hour",
  pageKeyHint: "This page makes memos with an API key of its own, “Console”, which ends after an hour.",
  renewedKeyHint: "This page makes memos with an API key of its own, which replaces the “Console” that it made before.",
  otherKey: "Another key of mine",
  pasted: "Your API key",
  pastedHint: "It begins with at_live_ or at_test_. It stays in this tab, until you close or reload it.",
  noKey: "Enter an API key.",
  badKey: "An API key begins with at_live_ or at_test_ and has 51 characters.",
  ringIsFull: (most) => `You have ${number(most)} of ${number(most)} keys, so the page can make none. Use one of them, or revoke one.`,
  keyIsOver: "This key does not work any more. Choose another one.",
  keyMayNot: "This key may not make memos. Choose another one.",
  say: "Say it",
  saying: "Saying it…",
  cost: ({ limit, remaining }) =>
    limit === "unlimited" ? "Your plan has no daily limit." : `This takes 1 of the ${counted(remaining, "memo")} left today.`,
  keyCost: (left) => `This key has ${counted(left, "memo")} left today.`,
  keySpent: (name) => `The key “${name}” has no memo left today. Choose another one under “${MEMO_SAID.more}”.`,
  testCost: "A test key makes silence of the right length, and takes nothing from your limit.",
  noneLeft: ({ limit, resetAt }) =>
    `Today's limit of ${counted(limit, "memo")} is used up. You can go on ${resetIn(resetAt)}.`,
  noneLeftMonth: ({ limit, resetAt }) =>
    `This month's limit of ${counted(limit, "memo")} is used up. You can go on ${resetIn(resetAt)}.`,
  lost: "No answer came, so it is not known whether the memo was made. Press again: it is made once, whichever it was.",
  stillRunning: (seconds) => `The first try is still being worked on. Press again ${wait(seconds)}: it is made once.`,
  made: ({ voice }) => `The memo is made, with ${voice.name}'s voice. It is the first in the list.`,
  making: "The memo is being made. It is the first in the list.",

  listTitle: "Your memos",
  onlyVoice: "Voice",
  anyVoice: "All voices",
  download: "Download as CSV",
  downloading: "Preparing…",
  downloaded: "The memos of the last 366 days were saved as a file.",
  moreMemos: "Show older memos",
  moreLoading: "Loading…",
  emptyTitle: "No memos yet",
  emptyText: "Write a text under “Say something”, choose a voice, and press “Say it”. The memo appears here, with its audio.",
  emptyVoice: (name) => `No memos with ${name}'s voice`,
  emptyVoiceText: "Choose another voice above, or all voices.",

  seconds: (seconds) => `${SECONDS.format(seconds)}\u00a0s`,
  estimated: (seconds) => `about ${SECONDS.format(seconds)}\u00a0s`,
  characters: (count) => counted(count, "character"),
  withKey: (name) => `key “${name}”`,
  play: (name) => `Audio: ${name}`,
  save: (name) => `Save the audio of ${name}`,
  saveShort: "Save",
  noAudio: "The audio cannot be played now.",
  whole: "Show all of it",
  beginning: "Show less",

  processing: "The audio is being made.",
  processingLong: "The audio is taking longer than usual.",
  lookAgain: "Look again",
  failedTitle: "This memo failed, and was not charged.",
  why: (code) => FAILURES[code] ?? "Something unexpected happened.",

  rename: "Rename",
  newTitle: "Title",
  keepTitle: "Save",
  keepingTitle: "Saving…",
  titled: "The title is saved.",
  noTitle: "The title is removed.",
  delete: "Delete",
  deleteTitle: "Delete this memo?",
  deleteText: (name) => `“${name}” and its audio are deleted for good, and links to the audio stop working. It still counts towards your limit.`,
  deleting: "Deleting…",
  deleted: (name) => `“${name}” is deleted.`,
};

/** The name of a memo: its title, or the beginning of its text. */
export function nameOfMemo({ title, text }) {
  if (title !== null) return title;
  const beginning = text.trim().replace(/\s+/g, " ");
  return beginning.length > 60 ? `${[...beginning].slice(0, 60).join("")}…` : beginning;
}
