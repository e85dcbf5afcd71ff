"""The header Idempotency-Key through whole events: a repeat returns the first result, and charges nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shared.plans import Tier
from shared.tables import MEMOS
from shared.tables.schema import IDEMPOTENCY_KEYS
from tests.handlers.world import Account, Answer, World

MEMO = "/api/v1/memo"
SAY = {"text": "Hello there", "voice": "rachel", "title": "A greeting"}
NewWorld = Callable[..., World]


def say(world: World, token: str, name: str = "one", **fields: Any) -> Answer:
    return world.post(MEMO, token=token, json={**SAY, **fields}, headers={"idempotency-key": name})


def used(world: World, account: Account) -> tuple[int, int, int]:
    """Return the counted memos of today, of this month, and as uses of the account's first key."""
    limits = world.get("/api/v1/usage/limits", token=account.session).json
    key = world.get(f"/api/keys/{account.key_id}", token=account.session).json["key"]
    return limits["daily"]["used"], limits["monthly"]["used"], key["usageCount"]


def memos(world: World, account: Account) -> list[str]:
    listed = world.get("/api/v1/memos", token=account.session, query={"limit": "100"}).json["memos"]
    return [memo["id"] for memo in listed]


def is_replay(answer: Answer, first: Answer) -> bool:
    return (
        (answer.status, answer.json) == (201, first.json)
        and answer.headers["idempotency-replayed"] == "true"
        and "idempotency-replayed" not in first.headers
    )


def test_a_repeat_answers_the_first_result_and_is_not_charged(world: World, ada: Account) -> None:
    first = say(world, ada.key)
    world.later(hours=23)
    world.memo(ada.key)
    again = say(world, ada.key)
    assert is_replay(again, first)
    assert len(memos(world, ada)) == 2
    assert used(world, ada)[1:] == (2, 2)


def test_a_repeat_tells_the_rate_limit_of_now(world: World, ada: Account) -> None:
    first = say(world, ada.key)
    world.memo(ada.key)
    again = say(world, ada.key)
    assert (first.headers["x-ratelimit-remaining"], again.headers["x-ratelimit-remaining"]) == ("99", "98")
    assert again.headers["x-ratelimit-limit"] == "100"
    assert again.headers["ratelimit"].startswith('"day";r=98;')


def test_a_repeat_of_a_retitled_memo_answers_the_first_title(world: World, ada: Account) -> None:
    first = say(world, ada.key)
    path = f"{MEMO}/{first.json['id']}"
    assert world.patch(path, token=ada.key, json={"title": "Another"}).status == 200
    assert is_replay(say(world, ada.key), first)
    assert world.get(path, token=ada.key).json["title"] == "Another"


def test_a_repeat_of_a_deleted_memo_makes_none(world: World, ada: Account) -> None:
    """The first result is answered, also a long time afterwards, and the memo stays deleted."""
    first = say(world, ada.key)
    path = f"{MEMO}/{first.json['id']}"
    assert world.delete(path, token=ada.key).status == 200
    for minutes in (0, 2):
        world.later(minutes=minutes)
        assert is_replay(say(world, ada.key), first)
    assert world.get(path, token=ada.key).status == 404
    assert (memos(world, ada), used(world, ada)) == ([], (1, 1, 1))


def test_a_repeat_is_answered_when_the_limit_is_spent(world: World, ada: Account) -> None:
    first = say(world, ada.key)
    world.spend(ada, 99)
    assert say(world, ada.key, "another").status == 429
    again = say(world, ada.key)
    assert is_replay(again, first)
    assert again.headers["x-ratelimit-remaining"] == "0"
    assert used(world, ada)[0] == 100


def test_a_repeat_with_a_revoked_key_is_refused(world: World, ada: Account) -> None:
    """A replay, a conflict and an invalid repeat are refused alike, whether the key is remembered or not."""
    say(world, ada.key)
    world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
    for name, fields in (("one", {}), ("one", {"text": "Other"}), ("x" * 256, {}), ("new", {}), ("one", {"text": ""})):
        for _ in range(2):
            assert say(world, ada.key, name, **fields).refusal == (403, "REVOKED_KEY", "API key has been revoked")
    assert len(memos(world, ada)) == 1


def test_a_key_that_is_unknown_is_refused_before_its_header(world: World) -> None:
    for token in ("at_live_" + "A" * 43, "at_live_", "else"):
        for name in ("one", "x" * 256):
            assert say(world, token, name).refusal[:2] == (401, "INVALID_API_KEY")
    missing = world.post(MEMO, json=SAY, headers={"idempotency-key": "one"})
    assert missing.refusal[:2] == (401, "MISSING_API_KEY")


def test_a_bad_key_is_refused_though_its_row_cannot_be_read(world: World) -> None:
    """The header's row is read concurrently with the key's check. Its failure is ignored if the key is invalid."""
    world.store.unreadable = IDEMPOTENCY_KEYS
    assert say(world, "at_live_" + "A" * 43).refusal[:2] == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("fields", [{"text": "Hello"}, {"voice": "sam"}, {"title": "Other"}, {"title": None}], ids=str)
def test_another_body_under_the_same_key_is_a_conflict(world: World, ada: Account, fields: dict[str, Any]) -> None:
    first = say(world, ada.key)
    assert say(world, ada.key, **fields).refusal == (409, "CONFLICT", "Idempotency-Key was used with another body")
    assert memos(world, ada) == [first.json["id"]]
    assert used(world, ada) == (1, 1, 1)
    assert is_replay(say(world, ada.key), first)


@pytest.mark.parametrize("fields", [{"voice": "RACHEL"}, {"format": "mp3"}, {"format": None}, {"other": 1}], ids=str)
def test_a_body_that_asks_for_the_same_is_a_repeat(world: World, ada: Account, fields: dict[str, Any]) -> None:
    """Defaults may be left out or given, a voice is equal in any case, and unknown fields do not count."""
    first = say(world, ada.key)
    assert is_replay(say(world, ada.key, **fields), first)


def test_an_empty_title_is_no_title_in_a_repeat(world: World, ada: Account) -> None:
    first = say(world, ada.key, title="")
    assert is_replay(say(world, ada.key, title=None), first)


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("x" * 256, {"field": "Idempotency-Key", "maxLength": 255, "provided": 256}),
        ("", {"field": "Idempotency-Key"}),
        ("two words", {"field": "Idempotency-Key"}),
        ("clé", {"field": "Idempotency-Key"}),
        ("tab\there", {"field": "Idempotency-Key"}),
        ("del\x7f", {"field": "Idempotency-Key"}),
    ],
)
def test_a_key_of_another_form_is_invalid(world: World, ada: Account, name: str, details: dict[str, Any]) -> None:
    answer = say(world, ada.key, name)
    assert (answer.status, answer.error["code"], answer.error["details"]) == (400, "VALIDATION_ERROR", details)
    assert memos(world, ada) == []


def test_every_visible_character_may_be_in_a_key(world: World, ada: Account) -> None:
    for name in ("".join(map(chr, range(0x21, 0x7F))), "x" * 255, "x" * 254 + "y", "/", "..", "0"):
        first = say(world, ada.key, name)
        assert first.status == 201
        assert is_replay(say(world, ada.key, name), first)
    assert len(memos(world, ada)) == 6


def test_the_same_key_by_another_api_key_is_a_memo_of_its_own(world: World, ada: Account, bob: Account) -> None:
    """Another key of the owner, a test key, and another owner's key each make their own memo."""
    world.put_on(ada, Tier.PRO)
    other, test = world.new_key(ada)[1], world.new_key(ada, test=True)[1]
    firsts = [say(world, key) for key in (ada.key, other, test, bob.key)]
    assert len({first.json["id"] for first in firsts}) == 4
    for key, first in zip((ada.key, other, test, bob.key), firsts, strict=True):
        assert is_replay(say(world, key), first)
    assert used(world, ada) == (2, 2, 1)


def test_a_repeat_by_a_test_key_tells_its_own_limit(world: World, ada: Account) -> None:
    _, test = world.new_key(ada, test=True)
    first = say(world, test)
    again = say(world, test)
    assert is_replay(again, first)
    assert (again.headers["x-ratelimit-limit"], again.headers["x-ratelimit-remaining"]) == ("1000", "999")


def test_a_refused_request_is_not_kept(world: World, ada: Account) -> None:
    """Once there is room the same request is made, under the same key; another body may take the key, too."""
    world.spend(ada, 100)
    for fields in ({}, {}, {"text": "Other"}):
        assert say(world, ada.key, **fields).refusal[:2] == (429, "DAILY_LIMIT_EXCEEDED")
    world.put_on(ada, Tier.PRO)
    first = say(world, ada.key, text="Third")
    assert first.status == 201
    assert is_replay(say(world, ada.key, text="Third"), first)
    assert say(world, ada.key).status == 409
    assert used(world, ada) == (101, 101, 1)


def test_an_invalid_request_is_not_kept(world: World, ada: Account) -> None:
    """After a malformed body, or a text that is too long or empty, the corrected request may have the same key."""
    for fields in ({"voice": "nobody"}, {"text": "x" * 5001}, {"text": "!?"}, {"title": "x" * 201}):
        assert say(world, ada.key, **fields).status == 400
    first = say(world, ada.key)
    assert first.status == 201
    assert is_replay(say(world, ada.key), first)
    assert used(world, ada) == (1, 1, 1)


def test_requests_without_the_header_are_not_repeats(world: World, ada: Account) -> None:
    first, second = (world.post(MEMO, token=ada.key, json=SAY) for _ in range(2))
    assert first.json["id"] != second.json["id"]
    assert "idempotency-replayed" not in second.headers


@pytest.mark.anyio
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_fifty_repeats_at_once_make_one_memo(new_world: NewWorld, seed: int) -> None:
    """One makes the memo, and the others return it or that the first still runs; one memo exists, and is charged."""
    world = new_world(seed=seed)
    async with world.http("users") as client:
        made = await client.post("/api/v1/auth/signup", json={"email": "ada@example.org", "password": "long enough"})
    account = made.json()
    async with world.http("memos", account["apiKey"]["key"]) as client:
        answers = await asyncio.gather(
            *(client.post(MEMO, json=SAY, headers={"idempotency-key": "one"}) for _ in range(50))
        )
        last = await client.post(MEMO, json=SAY, headers={"idempotency-key": "one"})
    kinds = Counter((answer.status_code, "idempotency-replayed" in answer.headers) for answer in answers)
    assert kinds[201, False] == 1
    assert kinds.keys() <= {(201, False), (201, True), (409, False)}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["error"]["message"] for answer in refused} <= {"The first request is still running"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    bodies = [answer.json() for answer in [*answers, last] if answer.status_code == 201]
    assert bodies == [bodies[0]] * len(bodies)
    (row,) = (await world.store.scan(MEMOS)).rows
    assert row.key.sort == bodies[0]["id"]
    user_id = account["user"]["id"]
    counted = await world.store.counters(f"{user_id}:")
    assert {name.split(":")[1]: value for name, value in counted.items()} == {"calls": 1, "uses": 1}


def test_the_document_tells_the_header_and_what_it_answers(world: World) -> None:
    operation = world.functions["memos"].app.openapi()["paths"][MEMO]["post"]
    (header,) = [parameter for parameter in operation["parameters"] if parameter["name"] == "Idempotency-Key"]
    assert (header["in"], header["required"], header["schema"]["maxLength"]) == ("header", False, 255)
    assert "Idempotency-Replayed" in operation["responses"]["201"]["headers"]
    assert "CONFLICT" in operation["responses"]["409"]["description"]
