"""Settings of billing, which `shared.core.settings` reads with its own. Without STRIPE_SECRET_KEY Stripe is off."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.core.speech_settings import Reader

STRIPE_URL: Final = "https://api.stripe.com"

NEEDED: Final = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PRICE_PRO")
"""All of these variables are set, or none: a part of them would take money without giving a plan, or take none."""

OTHERS: Final = ("STRIPE_PRICE_ENTERPRISE", "STRIPE_BASE_URL")

_KEY = re.compile(r"[sr]k_(test|live)_[A-Za-z0-9_]{4,250}")
_WEBHOOK_SECRET = re.compile(r"[!-~]{8,256}")
_PRICE = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, kw_only=True)
class BillingSettings:
    """Access to Stripe, and the ids of prices by the name of the tier that they give. The first of Pro's is sold."""

    secret_key: str = field(default="", repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    """An event signed with any of these is accepted: while a secret is being replaced, there are two."""

    prices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    url: str = STRIPE_URL
    sales_email: str = ""
    """The contact for plans that are not sold here; empty: the sender of mails."""

    @property
    def is_on(self) -> bool:
        return bool(self.secret_key)


def read_billing(read: Reader, *, production: bool) -> BillingSettings:
    """Read the settings of billing. If no variable of Stripe is set, billing is off."""
    sales_email = read.env.get("SALES_EMAIL", "")
    if sales_email and not _ADDRESS.fullmatch(sales_email):
        read.problems.append("SALES_EMAIL must be an email address")
    given = {name: read.env.get(name, "") for name in (*NEEDED, *OTHERS)}
    if not any(given.values()):
        return BillingSettings(sales_email=sales_email)
    missing = [name for name in NEEDED if not given[name]]
    read.problems += [f"{name} is missing: {', '.join(NEEDED)} belong together" for name in missing]
    settings = BillingSettings(
        secret_key=given["STRIPE_SECRET_KEY"],
        webhook_secrets=_words(given["STRIPE_WEBHOOK_SECRET"]),
        prices={
            tier: _words(given[f"STRIPE_PRICE_{tier.upper()}"])
            for tier in ("pro", "enterprise")
            if given[f"STRIPE_PRICE_{tier.upper()}"]
        },
        url=read.encrypted_url("STRIPE_BASE_URL", production=production) or STRIPE_URL,
        sales_email=sales_email,
    )
    if not missing:
        read.problems += _problems(settings)
        if production and "_test_" in settings.secret_key:
            read.warnings.append("STRIPE_SECRET_KEY is a key of Stripe's test mode: no payment is a real one")
    return settings


def _problems(settings: BillingSettings) -> list[str]:
    """Return the problems. Their texts contain no secret."""
    problems = []
    if not _KEY.fullmatch(settings.secret_key):
        problems.append("STRIPE_SECRET_KEY must be a secret or restricted key: sk_… or rk_…")
    if not settings.webhook_secrets or not all(map(_WEBHOOK_SECRET.fullmatch, settings.webhook_secrets)):
        problems.append("STRIPE_WEBHOOK_SECRET must be one or more signing secrets, whsec_…, separated by commas")
    ids = [price for of_tier in settings.prices.values() for price in of_tier]
    if not settings.prices.get("pro") or not all(map(_PRICE.fullmatch, ids)):
        problems.append("STRIPE_PRICE_PRO and STRIPE_PRICE_ENTERPRISE must be ids of prices, separated by commas")
    if len(set(ids)) < len(ids):
        problems.append("STRIPE_PRICE_PRO and STRIPE_PRICE_ENTERPRISE name one price twice")
    return problems


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
