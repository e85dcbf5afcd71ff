// The sentences of the view of plans.

import { counted, date, number } from "./formats.js";

const VOICES = { edge: "Standard voices", elevenlabs: "ElevenLabs voices", any: "Voices of any provider" };

/** The features of a plan, in the order of a comparison. */
export function featuresOf({ limits, features }) {
  const memos = limits.callsPerDay;
  const length = limits.charsPerMemo;
  return [
    memos === "unlimited" ? "Unlimited memos" : `${counted(memos, "memo")} a day`,
    length === "unlimited" ? "Up to 100,000 characters in a memo" : `${counted(length, "character")} in a memo`,
    counted(limits.maxApiKeys, "API key"),
    VOICES[features.tts] || features.tts,
    features.analytics === "advanced" && "Advanced analytics",
    features.priority && "Priority processing",
    features.webhooks && "Webhooks",
    features.slaPercentage && `${features.slaPercentage}% availability (SLA)`,
    features.voiceCloning && "Voice cloning",
    features.customVoices && "Custom voices",
    features.customBranding && "Custom branding",
    features.dedicatedSupport && "Dedicated support",
  ].filter(Boolean);
}

/** Sentences for a subscription that needs attention, by its status. */
export const STANDING = {
  past_due: "The last payment failed. Your plan goes on for now: check your card under “Cards and invoices”.",
  unpaid: "Payments failed, so you are on the Hobby plan. Pay the open invoice under “Cards and invoices” to have your plan back.",
  incomplete: "The first payment is not complete. Finish it under “Cards and invoices”.",
  paused: "Your subscription is paused, so you are on the Hobby plan.",
  canceled: "",
};

export const PLAN = {
  current: "Your plan",
  free: "Free",
  price: (price) => `$${number(price)}`,
  perMonth: "a month",
  byAgreement: "By agreement",
  buy: (name) => `Get ${name}`,
  buying: "To the checkout…",
  contact: "Ask for an offer",
  contacting: "One moment…",
  contactAt: "Write to ",
  manage: "Cards and invoices",
  managing: "To Stripe…",
  cancel: (name) => `Cancel ${name}`,
  cancelTitle: (name) => `Cancel the ${name} plan?`,
  cancelHint: (name, at) => (at ? `You keep ${name} until ${date(at)}, and are on Hobby from then on. Keys that you have go on working.` : `You keep ${name} to the end of what is paid for. Keys that you have go on working.`),
  cancelIt: "Cancel the plan",
  canceling: "Cancelling…",
  keepPlan: "Keep the plan",
  reactivate: (name) => `Keep ${name}`,
  reactivating: "One moment…",
  renews: (at) => `It renews on ${date(at)}.`,
  ends: (name, at) => (at ? `${name} ends on ${date(at)}. Until then nothing changes.` : `${name} ends with what is paid for. Until then nothing changes.`),
  off: "Plans cannot be bought here",
  offHint: "This service takes no payments: its operator gives plans. What each plan has is below.",
  offReturned: "This service takes no payments at the moment, so nothing was bought or changed.",
  cancelled: "The checkout was left. Nothing was bought, and nothing is charged.",
  returned: "Changes that you made at Stripe are shown here.",
  waiting: "Your payment is being confirmed. This takes a few seconds…",
  slow: "Stripe has not confirmed the payment yet. Your plan changes by itself once it has.",
  look: "Look again",
  bought: (name) => `Thank you. You are on the ${name} plan.`,
};
