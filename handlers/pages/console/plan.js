// Plans: their features, and buying, managing, cancelling and keeping one. Stripe's own pages take the payment; the
// browser returns with `?billing=success`, `cancelled` or `portal`. The page shows the plan that the API returns.

import { idempotencyKey } from "./api.js";
import { Button, Dialog, Form, Heading, Loaded, Notice, useAlive, useLoaded } from "./parts.js";
import { html, useEffect, useRef, useState } from "./preact.js";
import { addressOf } from "./router.js";
import { VIEWS, sentenceOf } from "./texts.js";
import { PLAN, STANDING, featuresOf } from "./texts-plan.js";

const TIERS = "/api/v1/billing/tiers";
const SUBSCRIPTION = "/api/v1/billing/subscription";
const LOOKS = 15; // after a payment, until Stripe's event has arrived
const LOOK_MS = 2_000;

/** The GETs of a first view of plans: [path] each. */
export const planFirst = () => [[TIERS], [SUBSCRIPTION]];

export function PlanView({ route, session, go, api, tell, renew }) {
  const [way] = useState(route.billing); // how the browser returned from Stripe, once
  const loaded = useLoaded(async () => {
    const [{ tiers }, { subscription }] = await Promise.all([api.get(TIERS), api.get(SUBSCRIPTION)]);
    return { tiers, subscription };
  }, []);

  useEffect(() => {
    if (way) go({ view: "plan" }, { replace: true }); // else a reload would show the thanks again
  }, []);
  const tier = loaded.value && loaded.value.subscription.tier;
  useEffect(() => {
    if (tier && tier !== session.tier) renew();
  }, [tier]);

  const shared = { api, tell, reload: loaded.reload };
  return html`<div class="view-head"><${Heading}>${VIEWS.plan}<//></div>
    <${Loaded} of=${loaded}>${({ tiers, subscription }) => html`<div class="sections">
      <${Returned} way=${way} subscription=${subscription} reload=${loaded.reload} />
      <${Standing} subscription=${subscription} ...${shared} />
      <ul class="plans">${tiers.map((plan) => html`<${Plan} key=${plan.name} plan=${plan} subscription=${subscription} ...${shared} />`)}</ul>
    </div>`}<//>`;
}

/** The message after a return from Stripe, or while payments are off. */
function Returned({ way, subscription, reload }) {
  const isOff = !subscription.billing.stripeEnabled;
  if (isOff) return html`<${Notice} title=${PLAN.off}><p role="status">${way ? PLAN.offReturned : PLAN.offHint}</p><//>`;
  if (way === "cancelled") return html`<${Notice}><p role="status">${PLAN.cancelled}</p><//>`;
  if (way === "portal") return html`<${Notice}><p role="status">${PLAN.returned}</p><//>`;
  return way === "success" ? html`<${Bought} subscription=${subscription} reload=${reload} />` : null;
}

/** The message after a payment. Reloads until the service has Stripe's event, LOOKS times at most. */
function Bought({ subscription, reload }) {
  const [looks, setLooks] = useState(0);
  const isThere = subscription.tier !== "hobby";
  useEffect(() => {
    if (isThere || looks >= LOOKS) return undefined;
    const timer = setTimeout(() => (setLooks(looks + 1), reload()), LOOK_MS);
    return () => clearTimeout(timer);
  }, [looks, isThere]);
  if (isThere) return html`<${Notice} kind="good"><p role="status">${PLAN.bought(subscription.tierName)}</p><//>`;
  if (looks < LOOKS) return html`<${Notice}><p role="status">${PLAN.waiting}</p><//>`;
  return html`<${Notice} kind="warning"><p role="status">${PLAN.slow}</p><${Button} onClick=${() => setLooks(0)}>${PLAN.look}<//><//>`;
}

/** A button that sends a request. While it works a second press has no effect; a failure is shown. */
function Asking({ ask, label, working, kind, tell }) {
  const [busy, setBusy] = useState(false);
  const alive = useAlive();
  async function press() {
    setBusy(true);
    try {
      await ask();
    } catch (failure) {
      tell(sentenceOf(failure));
    }
    if (alive.current) setBusy(false);
  }
  return html`<${Button} kind=${kind} busy=${busy} onClick=${press}>${busy ? working : label}<//>`;
}

/** The owner's plan: its state, and the actions on it. */
function Standing({ subscription, api, tell, reload }) {
  const [asked, setAsked] = useState(false);
  const { tier, tierName, status, currentPeriodEnd, cancelAtPeriodEnd, stripeSubscriptionId, billing } = subscription;
  const isPaid = billing.stripeEnabled && tier !== "hobby" && stripeSubscriptionId !== null;

  async function manage() {
    const { portalUrl } = await api.post("/api/v1/billing/portal", { returnUrl: wayBack("portal") });
    location.assign(portalUrl);
  }
  async function keep() {
    tell((await api.post("/api/v1/billing/reactivate")).message);
    reload();
  }
  async function cancel() {
    tell((await api.post("/api/v1/billing/cancel")).message);
    setAsked(false);
    reload();
  }

  if (!isPaid && !billing.canManageSubscription && !STANDING[status]) return null; // the plan's own card shows it all
  return html`<section class="section">
    <div class="figure"><p class="muted">${PLAN.current}</p><h2 class="figure-value">${tierName}</h2></div>
    ${STANDING[status] && html`<${Notice} kind="warning"><p>${STANDING[status]}</p><//>`}
    ${isPaid && cancelAtPeriodEnd && html`<${Notice} kind="warning"><p>${PLAN.ends(tierName, currentPeriodEnd)}</p><//>`}
    ${isPaid && !cancelAtPeriodEnd && status === "active" && currentPeriodEnd && html`<p>${PLAN.renews(currentPeriodEnd)}</p>`}
    ${(isPaid || billing.canManageSubscription) &&
    html`<div class="actions">
      ${isPaid && cancelAtPeriodEnd && html`<${Asking} ask=${keep} label=${PLAN.reactivate(tierName)} working=${PLAN.reactivating} kind="primary" tell=${tell} />`}
      ${billing.canManageSubscription && html`<${Asking} ask=${manage} label=${PLAN.manage} working=${PLAN.managing} tell=${tell} />`}
      ${isPaid && !cancelAtPeriodEnd && html`<${Button} kind="danger" onClick=${() => setAsked(true)}>${PLAN.cancel(tierName)}<//>`}
    </div>`}
    ${asked &&
    html`<${Dialog} title=${PLAN.cancelTitle(tierName)} close=${() => setAsked(false)}>
      <p>${PLAN.cancelHint(tierName, currentPeriodEnd)}</p>
      <${Form} send=${cancel} label=${PLAN.cancelIt} working=${PLAN.canceling} kind="danger"
        aside=${html`<${Button} onClick=${() => setAsked(false)}>${PLAN.keepPlan}<//>`} />
    <//>`}
  </section>`;
}

const wayBack = (billing) => addressOf(`/app?view=plan&billing=${billing}`);

function Plan({ plan, subscription, api, tell }) {
  const [salesAt, setSalesAt] = useState("");
  const attempt = useRef(idempotencyKey());
  const isCurrent = plan.name === subscription.tier;

  async function buy() {
    const urls = { successUrl: wayBack("success"), cancelUrl: wayBack("cancelled") };
    const headers = { "Idempotency-Key": attempt.current };
    location.assign((await api.post("/api/v1/billing/checkout", urls, { headers })).checkoutUrl);
  }
  async function contact() {
    setSalesAt((await api.post("/api/v1/billing/upgrade", { tier: plan.name })).contactEmail);
  }

  const canBuy = plan.name === "pro" && subscription.tier === "hobby" && subscription.billing.canUpgrade;
  const canAsk = plan.price === null && !isCurrent;
  return html`<li class=${`section plan ${plan.highlighted ? "highlighted" : ""}`}>
    <h2>${plan.displayName}${isCurrent && html` <span class="badge good">${PLAN.current}</span>`}</h2>
    <p class="plan-price">${priceOf(plan)}</p>
    <p class="muted">${plan.description}</p>
    <ul class="ticks">${featuresOf(plan).map((feature) => html`<li key=${feature}>${feature}</li>`)}</ul>
    ${canBuy && html`<${Asking} ask=${buy} label=${PLAN.buy(plan.displayName)} working=${PLAN.buying} kind="primary" tell=${tell} />`}
    ${canAsk && !salesAt && html`<${Asking} ask=${contact} label=${PLAN.contact} working=${PLAN.contacting} tell=${tell} />`}
    ${salesAt && html`<p role="status">${PLAN.contactAt}<a href=${`mailto:${salesAt}`}>${salesAt}</a></p>`}
  </li>`;
}

function priceOf({ price }) {
  if (price === null) return html`<strong>${PLAN.byAgreement}</strong>`;
  return price ? html`<strong>${PLAN.price(price)}</strong> ${PLAN.perMonth}` : html`<strong>${PLAN.free}</strong>`;
}
