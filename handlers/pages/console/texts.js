// The sentences of the page. Views take theirs from modules of this name, so that the language is in one place.

import { wait } from "./formats.js";
import { resetIn } from "./texts-usage.js";

export const VIEWS = { overview: "Overview", memos: "Memos", keys: "API keys", plan: "Plan", account: "Account" };

/** The names in the navigation: all five must fit the width of a phone. */
export const WAYS = { ...VIEWS, keys: "Keys" };

export const SAID = {
  brand: "Agent Talk",
  skip: "Skip to the content",
  views: "Views",
  logOut: "Log out",
  loading: "Loading…",
  again: "Try again",
  unreachable: "The console cannot be shown now",
  notShown: "This cannot be shown now",
  show: "Show",
  hide: "Hide",
  copy: "Copy",
  apiInBrief: "The API in twenty lines (a new tab)",
  cancel: "Cancel",
  close: "Close",
  copied: "Copied.",
  selected: "Selected: copy it with Ctrl+C or ⌘C.",
  ended: "Your session has ended. Log in to go on where you were.",
  loggedOut: "You are logged out.",
  keyWouldGo: "You have not copied your new API key, and it is not shown again. Log out all the same?",
  broken: "The page failed to show this",
  brokenNext: "Reload the page. If it fails again, the message below helps us to find out why.",
};

export const FAILED = {
  offline: "The service cannot be reached. Check your connection, and try again.",
  ended: "Your session has ended.",
  unavailable: "The service is having trouble right now. Nothing is lost: try again in a minute.",
  unavailableFor: (seconds) => `The service is having trouble right now. Nothing is lost: try again ${wait(seconds)}.`,
  limit: (message, resetAt) => `${message}. You can go on ${resetIn(resetAt)}.`,
  attempts: (seconds) => `Too many attempts. Try again ${wait(seconds)}.`,
  attemptsPlain: "Too many attempts. Try again later.",
};

/** The sentence for a failure of the API, for a reader of the page. */
export function sentenceOf(failure) {
  const { kind, details = {}, retryAfter, message } = failure;
  if (kind === "offline" || kind === "ended") return FAILED[kind];
  if (kind === "unavailable") return retryAfter ? FAILED.unavailableFor(retryAfter) : FAILED.unavailable;
  if (details.resetAt) return FAILED.limit(message, details.resetAt); // its message names the limit and its owner
  if (kind === "limit") return retryAfter ? FAILED.attempts(retryAfter) : FAILED.attemptsPlain;
  return message && !/[.!?]$/.test(message) ? `${message}.` : message || FAILED.unavailable;
}

export const ACCESS = {
  claim: "Text in, speech out, for your agents and programs.",
  logIn: "Log in",
  loggingIn: "Logging in…",
  signUp: "Create an account",
  signingUp: "Creating your account…",
  toSignUp: "New here?",
  toLogIn: "Have an account?",
  email: "E-mail address",
  password: "Password",
  newPassword: "New password",
  passwordHint: "At least 8 characters.",
  noEmail: "Enter your e-mail address.",
  badEmail: "This is not an e-mail address: it looks like name@example.org.",
  noPassword: "Enter your password.",
  noNewPassword: "Choose a password.",
  shortPassword: "A password has at least 8 characters.",
  longPassword: "A password has at most 128 characters.",
  wrong: "The e-mail address or the password is wrong.",
  taken: "There is an account with this address already. Log in, or ask for a new password.",
  toForgot: "Forgot your password?",
  forgot: "Forgot your password?",
  forgotHint: "We send you a link, if there is an account with this address. It works once, for one hour.",
  sendLink: "Send the link",
  sendingLink: "Sending…",
  linkSent: "Look into your inbox",
  linkSentTo: (email) => `If there is an account with ${email}, a link is on its way. It works once, for one hour.`,
  backToLogIn: "Back to log in",
  reset: "Choose a new password",
  resetHint: "All sessions of the account end, on every device.",
  setPassword: "Set the password",
  settingPassword: "Setting the password…",
  linkOver: "This link does not work any more",
  linkOverHint: "Each link works once, and for a limited time.",
  askNew: "Ask for a new link",
  verify: "Confirm your e-mail address",
  verifyHint: "If you created an account at Agent Talk with this address, confirm it. If you did not, close this page.",
  confirm: "Confirm the address",
  confirming: "Confirming…",
  verified: "Your e-mail address is confirmed.",
  goOn: "Go to the console",
  first: "Your account is ready",
  firstKey: "Your first API key",
  keepKey: "Copy it now and keep it like a password: it is not shown again.",
  firstCall: "Make your first memo",
  firstCallHint: "Run this in a terminal, or write it on the next page. The address of the recording is in the answer, as",
  command: "command",
  kept: "I have copied the key",
  mailSent: (email) => `We sent a link to ${email}: open it to confirm your address.`,
};
