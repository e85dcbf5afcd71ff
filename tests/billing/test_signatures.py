"""Signatures of webhooks, compared with the check of Stripe's own SDK."""

import time
from random import Random
from typing import Final

import pytest
import stripe

from shared.billing.signatures import TOLERANCE_S, is_signed
from tests.support import seeded

SECRET: Final = "whsec_of_tests"
BODY: Final = '{\n  "id": "evt_1",\n  "object": "event",\n  "x": "é"\n}'
HEADERS: Final = 20_000


def header(at: int, *, body: str = BODY, secret: str = SECRET) -> str:
    made: str = stripe.WebhookSignature.generate_signature_header(body, secret, at)
    return made


def mutated(random: Random, now: int) -> str:
    """Return a valid or forged header: several signatures, other schemes, damage, no part at all."""
    at = now + random.choice([0, -10, -290, -310, -5000])
    text = header(at)
    how = random.randrange(11)
    other = random.choice(["f" * 64, "", text.partition("v1=")[2].upper(), "=", "0" * 63])
    place = random.randrange(len(text))
    return (
        text,
        text.replace("v1=", "v0=deadbeef,v1="),
        f"{text},v1={other}",
        f"t={at},v1={other},{text.partition(',')[2]}",
        text[:place] + random.choice("0aZ,= _+tv1") + text[place + 1 :],
        text[:place] + random.choice("0aZ,= _+tv1") + text[place:],
        text[:place] + text[place + random.randrange(1, 5) :],
        text.replace("v1", "v2"),
        text.replace(",", random.choice([", ", ";", ",,", "\t,"])),
        random.choice(["", ",", "t", "v1", "t=,v1=", text.partition(",")[2], text.partition(",")[0]]),
        f"t={random.choice([at, now, '', 'x', -at])},{text}",
    )[how]


def sdk_accepts(text: str, body: str = BODY) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, text, SECRET, TOLERANCE_S))
    except stripe.SignatureVerificationError:
        return False


def test_signature_is_what_the_sdk_accepts() -> None:
    """20,000 mutated headers are accepted and refused alike; thousands of each."""
    random = seeded(20)
    now = int(time.time())  # the SDK reads the machine's clock
    accepted, differ = 0, []
    for _ in range(HEADERS):
        text = mutated(random, now)
        sdk = sdk_accepts(text)
        accepted += sdk
        if is_signed(BODY.encode(), text, [SECRET], now=time.time()) != sdk:
            differ.append(text)
    assert differ == []
    assert HEADERS / 10 < accepted < HEADERS * 9 / 10


@pytest.mark.parametrize(("by", "accepted"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_signature_is_good_for_five_minutes(by: int, accepted: bool) -> None:  # noqa: FBT001
    """A time up to 300 s before or after now is accepted. The SDK limits the past alone."""
    now = 1_772_452_800
    assert is_signed(BODY.encode(), header(now + by), [SECRET], now=now) is accepted


@pytest.mark.parametrize("at", [10**400, -(10**400)], ids=["future", "past"])
def test_signature_of_any_whole_time_is_judged(at: int) -> None:
    """A time that no float can express is refused like every other wrong one, and raises nothing."""
    assert not is_signed(BODY.encode(), header(at), [SECRET], now=1_772_452_800.5)


def test_signature_of_any_secret_counts() -> None:
    """While a secret is replaced, any signature may match any secret. Without a secret none does."""
    now = 1_772_452_800
    text = header(now, secret="whsec_old")
    assert is_signed(BODY.encode(), text, [SECRET, "whsec_old"], now=now)
    assert is_signed(BODY.encode(), f"{text},{header(now).partition(',')[2]}", [SECRET], now=now)
    assert not is_signed(BODY.encode(), text, [SECRET], now=now)
    assert not is_signed(BODY.encode(), header(now, secret=""), [], now=now)


def test_signature_is_over_the_raw_bytes() -> None:
    """The same JSON in another writing is not signed."""
    now = 1_772_452_800
    for body in ('{"id": "evt_1", "object": "event", "x": "é"}', BODY.replace("é", "\\u00e9")):
        assert not is_signed(body.encode(), header(now), [SECRET], now=now)


def test_signature_that_is_not_ascii_is_refused() -> None:
    """Other signatures in the same header still count. The SDK raises TypeError."""
    now = 1_772_452_800
    at, _, rest = header(now).partition(",")
    assert not is_signed(BODY.encode(), f"{at},v1=é", [SECRET], now=now)
    assert is_signed(BODY.encode(), f"{at},v1=é,{rest}", [SECRET], now=now)
