"""Voices, memos and audio through whole events."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen.mp3
import pytest

from shared.plans import Tier
from shared.tables.users import Role
from tests.handlers.world import PUBLIC_URL, Account, Answer, World

MEMO = "/api/v1/memo"
MEMOS = "/api/v1/memos"
DEMO = "/api/v1/demo"
EMOJI = "\N{GRINNING FACE}"
NewWorld = Callable[..., World]

VOICES = [
    {"id": "rachel", "name": "Rachel", "gender": "female", "description": "Calm, professional"},
    {"id": "domi", "name": "Domi", "gender": "female", "description": "Strong, confident"},
    {"id": "bella", "name": "Bella", "gender": "female", "description": "Soft, warm"},
    {"id": "adam", "name": "Adam", "gender": "male", "description": "Deep narration"},
    {"id": "sam", "name": "Sam", "gender": "male", "description": "Conversational"},
    {"id": "charlie", "name": "Charlie", "gender": "male", "description": "Casual conversational"},
    {"id": "emily", "name": "Emily", "gender": "female", "description": "Soft, gentle"},
    {"id": "ethan", "name": "Ethan", "gender": "male", "description": "Young male"},
    {"id": "freya", "name": "Freya", "gender": "female", "description": "Young, energetic"},
    {"id": "dorothy", "name": "Dorothy", "gender": "female", "description": "Storyteller"},
    {"id": "bill", "name": "Bill", "gender": "male", "description": "Mature male"},
    {"id": "sarah", "name": "Sarah", "gender": "female", "description": "Professional female"},
]


def say(world: World, key: str, **fields: Any) -> Answer:
    return world.post(MEMO, token=key, json={"text": "Hello there", "voice": "rachel", **fields})


def page(world: World, account: Account, **query: Any) -> Any:
    answer = world.get(MEMOS, token=account.session, query={name: str(value) for name, value in query.items()})
    assert answer.status == 200, answer
    assert answer.json.keys() == {"memos", "hasMore", "nextCursor"}
    return answer.json


def pages(world: World, account: Account, **query: Any) -> list[Any]:
    """Return the memos of all pages."""
    found, cursor = [], None
    while True:
        got = page(world, account, **query, **({"cursor": cursor} if cursor else {}))
        found += got["memos"]
        assert got["hasMore"] is (got["nextCursor"] is not None)
        cursor = got["nextCursor"]
        if cursor is None:
            return found


def used(world: World, account: Account) -> Any:
    return world.get("/api/v1/usage/limits", token=account.session).json["daily"]["used"]


def audio(world: World, method: str = "GET", path: str = "/audio/simulated-9.mp3", **headers: str) -> Answer:
    return world.send(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def seconds(answer: Answer) -> float:
    """Return the audio's duration for a player."""
    return float(mutagen.mp3.MPEGInfo(io.BytesIO(answer.body)).length)


def test_voices_are_listed_in_order(world: World) -> None:
    answer = world.get("/api/v1/voices", token="at_live_bad")
    listed = [{**voice, "sampleUrl": f"{PUBLIC_URL}/samples/{voice['id']}.mp3"} for voice in VOICES]
    assert (answer.status, answer.json) == (200, {"voices": listed})


def test_a_memo_answers_all_its_fields(world: World, ada: Account) -> None:
    answer = say(world, ada.key, title="Greeting")
    memo = answer.json
    assert answer.status == 201
    assert memo == {
        "id": memo["id"],
        "text": "Hello there",
        "title": "Greeting",
        "voice": VOICES[0],
        "audio": {"url": f"{PUBLIC_URL}/audio/simulated-9.mp3", "duration": 0.9, "format": "mp3", "status": "ready"},
        "characterCount": 11,
        "createdAt": memo["createdAt"],
    }
    assert memo["createdAt"].startswith("2026-03-02T12:00:00.")
    assert memo["createdAt"].endswith("Z")


def test_a_memo_comes_with_what_is_left_of_the_day(world: World, ada: Account) -> None:
    for remaining in ("99", "98"):
        headers = say(world, ada.key).headers
        assert headers["x-ratelimit-limit"] == "100"
        assert headers["x-ratelimit-remaining"] == remaining
        assert headers["x-ratelimit-reset"] == "1772496000"
        assert headers["ratelimit-policy"] == '"day";q=100;w=86400'
        quota, left, seconds = headers["ratelimit"].split(";")
        assert (quota, left) == ('"day"', f"r={remaining}")
        assert 43_190 <= int(seconds.removeprefix("t=")) <= 43_200


@pytest.mark.parametrize(("tier", "role"), [(Tier.ENTERPRISE, Role.USER), (Tier.HOBBY, Role.ADMIN)])
def test_enterprise_and_administrators_have_no_limit(world: World, ada: Account, tier: Tier, role: Role) -> None:
    world.put_on(ada, tier, role)
    world.spend(ada, 200_000)
    headers = say(world, ada.key).headers
    assert headers["x-ratelimit-limit"] == headers["x-ratelimit-remaining"] == "unlimited"
    assert headers["x-ratelimit-reset"] == "1772496000"
    assert "ratelimit" not in headers
    assert "ratelimit-policy" not in headers


def test_a_memo_is_kept_as_it_was_answered(world: World, ada: Account) -> None:
    memo = world.memo(ada.key, "Grüße\r\n\t\0 \N{ROBOT FACE}", title="  padded ")
    for token in (ada.key, ada.session):
        answer = world.get(f"{MEMO}/{memo['id']}", token=token)
        assert (answer.status, answer.json) == (200, memo)
    assert memo["text"] == "Grüße\r\n\t\0 \N{ROBOT FACE}"
    assert memo["characterCount"] == 12
    assert memo["title"] == "  padded "


def test_a_memo_without_a_title_says_null(world: World, ada: Account) -> None:
    kinds: tuple[dict[str, Any], ...] = ({}, {"title": None})
    for fields in kinds:
        assert world.memo(ada.key, **fields)["title"] is None


@pytest.mark.parametrize("voice", ["Rachel", "RACHEL", "rAcHeL"])
def test_a_voice_is_matched_in_any_case(world: World, ada: Account, voice: str) -> None:
    assert world.memo(ada.key, voice=voice)["voice"] == VOICES[0]


@pytest.mark.parametrize("path", [MEMO, DEMO])
@pytest.mark.parametrize("voice", ["robot", " rachel", "RACHEL\N{COMBINING DIAERESIS}"])
def test_an_unknown_voice_is_told_with_those_there_are(world: World, ada: Account, path: str, voice: str) -> None:
    answer = world.post(path, token=ada.key, json={"text": "Hello", "voice": voice})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_VOICE")
    assert answer.error["details"] == {
        "field": "voice",
        "requestedVoice": voice,
        "availableVoices": [voice["id"] for voice in VOICES],
    }


@pytest.mark.parametrize("path", [MEMO, DEMO])
@pytest.mark.parametrize("field", ["text", "voice"])
@pytest.mark.parametrize("value", ["absent", None, ""])
def test_text_and_voice_are_required(world: World, ada: Account, path: str, field: str, value: str | None) -> None:
    sent: dict[str, Any] = {"text": "Hello", "voice": "rachel", field: value}
    if value == "absent":
        del sent[field]
    answer = world.post(path, token=ada.key, json=sent)
    assert answer.refusal == (400, "MISSING_FIELD", f"Missing required field: {field}")
    assert answer.error["details"] == {"field": field}


@pytest.mark.parametrize("field", ["text", "voice", "title"])
@pytest.mark.parametrize(("value", "kind"), [(7, "number"), (False, "boolean"), (["a"], "array"), ({}, "object")])
def test_wrong_types_are_told_by_name(world: World, ada: Account, field: str, value: Any, kind: str) -> None:
    answer = say(world, ada.key, **{field: value})
    assert answer.refusal == (400, "INVALID_INPUT", f"Invalid {field}: expected string")
    assert answer.error["details"]["providedType"] == kind
    assert answer.error["details"]["field"] == field


@pytest.mark.parametrize(("tier", "limit"), [(Tier.HOBBY, 5000), (Tier.PRO, 20_000)])
def test_a_plan_bounds_a_memos_utf_16_units(world: World, ada: Account, tier: Tier, limit: int) -> None:
    world.put_on(ada, tier)
    assert say(world, ada.key, text="ab" + EMOJI * (limit // 2 - 1)).json["characterCount"] == limit
    answer = say(world, ada.key, text="ab!" + EMOJI * (limit // 2 - 1))
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
    assert answer.error["details"] == {"field": "text", "limit": limit, "provided": limit + 1, "tier": tier.value}
    assert used(world, ada) == 1


def test_no_plan_admits_more_than_100_000_units(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.ENTERPRISE)
    assert say(world, ada.key, text="ab" + EMOJI * 49_999).json["characterCount"] == 100_000
    answer = say(world, ada.key, text="ab!" + EMOJI * 49_999)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
    assert answer.error["details"] == {"field": "text", "limit": 100_000, "provided": 100_001}


@pytest.mark.parametrize(("title", "status"), [("t" * 200, 201), ("t" * 201, 400), (EMOJI * 100, 201)])
def test_a_title_has_at_most_200_utf_16_units(world: World, ada: Account, title: str, status: int) -> None:
    answer = say(world, ada.key, title=title)
    assert answer.status == status
    if status == 400:
        assert answer.error["details"] == {"field": "title", "maxLength": 200, "provided": 201}


@pytest.mark.parametrize("units", [1, 7, 10, 11, 60, 1000])
def test_the_duration_is_the_estimate(world: World, ada: Account, units: int) -> None:
    memo = world.memo(ada.key, "x" * units)
    assert memo["audio"]["duration"] == ((8 * units + 5) // 10) / 10


def test_the_day_ends_at_its_limit_and_begins_anew_at_midnight(world: World, ada: Account) -> None:
    world.spend(ada, 99)
    assert say(world, ada.key).headers["x-ratelimit-remaining"] == "0"
    answer = say(world, ada.key)
    assert answer.refusal[:2] == (429, "DAILY_LIMIT_EXCEEDED")
    assert answer.error["details"] == {"limit": 100, "used": 100, "resetAt": "2026-03-03T00:00:00.000Z"}
    assert answer.headers["x-ratelimit-limit"] == "100"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == "1772496000"
    assert 43_190 <= int(answer.headers["retry-after"]) <= 43_200
    world.later(hours=12)
    assert say(world, ada.key).headers["x-ratelimit-remaining"] == "99"


def test_the_month_has_thirty_days_limits(world: World, ada: Account) -> None:
    world.spend(ada, 1, month=2998)
    assert say(world, ada.key).status == 201
    answer = say(world, ada.key)
    assert answer.refusal[:2] == (429, "MONTHLY_LIMIT_EXCEEDED")
    assert answer.error["details"] == {"limit": 3000, "used": 3000, "resetAt": "2026-04-01T00:00:00.000Z"}
    assert int(answer.headers["retry-after"]) > 29 * 86_400


def test_the_limit_is_the_owners_over_all_keys(world: World, ada: Account) -> None:
    _, other = world.new_key(ada)
    world.spend(ada, 99)
    assert [say(world, key).status for key in (other, ada.key, other)] == [201, 429, 429]


def test_refused_requests_are_not_charged(world: World, ada: Account) -> None:
    for fields in ({"voice": "robot"}, {"text": ""}, {"text": "x" * 5001}, {"title": 7}):
        assert say(world, ada.key, **fields).status == 400
    assert used(world, ada) == 0
    assert world.get("/api/keys", token=ada.session).json["keys"][0]["usageCount"] == 0


def test_a_refusal_at_the_limit_is_not_charged(world: World, ada: Account) -> None:
    world.spend(ada, 100)
    for _ in range(3):
        assert say(world, ada.key).error["details"]["used"] == 100
    assert used(world, ada) == 100


def test_the_first_refusal_of_a_day_is_recorded_and_no_other(world: World, ada: Account) -> None:
    world.spend(ada, 100)
    for _ in range(3):
        say(world, ada.key)
    logs = world.get("/api/v1/usage", token=ada.session, query={"action": "error_rate_limit"}).json["logs"]
    told = {"code": "DAILY_LIMIT_EXCEEDED", "voice": "rachel", "characters": 11, "test": False}
    assert [(log["apiKeyId"], log["metadata"]) for log in logs] == [(ada.key_id, told)]


@pytest.mark.parametrize("path", ["Bearer {}", "bearer {}", "BEARER  {}", "{}"])
def test_a_key_is_taken_with_or_without_the_scheme(world: World, ada: Account, path: str) -> None:
    answer = world.post(
        MEMO, headers={"authorization": path.format(ada.key)}, json={"text": "Hello", "voice": "rachel"}
    )
    assert answer.status == 201


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "MISSING_API_KEY"),
        ("at_live_short", "INVALID_API_KEY"),
        ("at_live_" + "a" * 43, "INVALID_API_KEY"),
        ("at_live_" + "a" * 42 + "\xe9", "INVALID_API_KEY"),
        ("nonsense", "INVALID_API_KEY"),
    ],
)
def test_a_memo_needs_a_known_key(world: World, key: str | None, code: str) -> None:
    answer = world.post(MEMO, token=key, json={"text": "Hello", "voice": "rachel"})
    assert answer.refusal[:2] == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_memo_takes_no_session(world: World, ada: Account) -> None:
    """A session in the header is no key, and a cookie is no credential for a memo at all."""
    for how, code in (
        ({"token": ada.session}, "INVALID_API_KEY"),
        ({"cookies": [f"auth_token={ada.session}"]}, "MISSING_API_KEY"),
        ({"cookies": [f"auth_token={ada.key}"]}, "MISSING_API_KEY"),
    ):
        answer = world.post(MEMO, json={"text": "Hello", "voice": "rachel"}, **how)
        assert answer.refusal[:2] == (401, code)


def test_a_key_in_the_header_wins_over_a_session_in_the_cookie(world: World, ada: Account, bob: Account) -> None:
    memo = world.memo(ada.key)
    cookie = [f"auth_token={bob.session}"]
    assert world.get(f"{MEMO}/{memo['id']}", token=ada.key, cookies=cookie).status == 200
    assert world.get(f"{MEMO}/{memo['id']}", token="at_live_bad", cookies=[f"auth_token={ada.session}"]).status == 401


def test_credentials_are_looked_at_before_the_body(world: World) -> None:
    assert world.post(MEMO, json={"text": 7}).refusal[:2] == (401, "MISSING_API_KEY")


def test_a_title_is_set_and_cleared_by_key_or_session(world: World, ada: Account) -> None:
    memo = world.memo(ada.key)
    path = f"{MEMO}/{memo['id']}"
    for token, title in ((ada.key, "One"), (ada.session, "Two"), (ada.key, None)):
        answer = world.patch(path, token=token, json={"title": title})
        assert (answer.status, answer.json) == (200, memo | {"title": title})
        assert world.get(path, token=ada.key).json == answer.json


def test_a_change_of_title_needs_the_title(world: World, ada: Account) -> None:
    path = f"{MEMO}/{world.memo(ada.key)['id']}"
    assert world.patch(path, token=ada.key, json={}).refusal[1:] == ("MISSING_FIELD", "Missing required field: title")
    assert world.patch(path, token=ada.key, json={"title": 7}).refusal[1] == "INVALID_INPUT"
    assert world.patch(path, token=ada.key, json={"title": "t" * 201}).refusal[1] == "VALIDATION_ERROR"


def test_a_deleted_memo_is_gone(world: World, ada: Account) -> None:
    memo = world.memo(ada.key)
    path = f"{MEMO}/{memo['id']}"
    answer = world.delete(path, token=ada.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "message"}
    assert answer.json["success"] is True
    for method, body in (("GET", None), ("PATCH", '{"title": "x"}'), ("DELETE", None)):
        assert world.send(method, path, token=ada.key, body=body).refusal == (404, "MEMO_NOT_FOUND", "Memo not found")
    assert page(world, ada)["memos"] == []


def test_delete_removes_the_audio(new_world: Callable[..., World], tmp_path: Path) -> None:
    """After a memo's deletion its audio is deleted from its place, and its URL answers 404."""
    world = new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path)})
    ada = world.sign_up("ada@example.org")
    memo = world.memo(ada.key, "Hello")
    url = memo["audio"]["url"].removeprefix(world.environ["PUBLIC_URL"])
    assert world.get(url).status == 200
    assert list(tmp_path.rglob("*.mp3"))
    assert world.delete(f"{MEMO}/{memo['id']}", token=ada.key).status == 200
    assert world.get(url).status == 404
    assert not list(tmp_path.rglob("*.mp3"))


def test_a_deleted_memo_stays_charged(world: World, ada: Account) -> None:
    world.delete(f"{MEMO}/{world.memo(ada.key)['id']}", token=ada.key)
    assert used(world, ada) == 1


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", '{"title": "x"}'), ("DELETE", None)])
def test_anothers_memo_answers_byte_for_byte_like_an_absent_one(
    world: World, ada: Account, bob: Account, method: str, body: str | None
) -> None:
    memo_id = world.memo(ada.key)["id"]
    how: Any = {"token": bob.key, "body": body, "headers": {"x-request-id": "same"}}
    anothers = world.send(method, f"{MEMO}/{memo_id}", **how)
    assert anothers.refusal == (404, "MEMO_NOT_FOUND", "Memo not found")
    assert anothers.error["details"] == {"memoId": memo_id}
    world.delete(f"{MEMO}/{memo_id}", token=ada.key)
    assert world.send(method, f"{MEMO}/{memo_id}", **how) == anothers


@pytest.mark.parametrize("memo_id", ["nothing", "%2e%2e", "a.b", "%00", "x" * 300, "%ED%A0%80", "%F0%9F%98%80"])
def test_what_is_no_id_names_no_memo(world: World, ada: Account, memo_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert world.send(method, f"{MEMO}/{memo_id}", token=ada.key).refusal[:2] == (404, "MEMO_NOT_FOUND")


def test_an_empty_list_says_so(world: World, ada: Account) -> None:
    assert page(world, ada) == {"memos": [], "hasMore": False, "nextCursor": None}


def test_a_page_has_twenty_memos_newest_first(world: World, ada: Account) -> None:
    made = [world.memo(ada.key, f"memo {n}") for n in range(21)]
    got = page(world, ada)
    assert got["memos"] == made[:0:-1]
    assert got["hasMore"] is True
    rest = page(world, ada, cursor=got["nextCursor"])
    assert rest == {"memos": made[:1], "hasMore": False, "nextCursor": None}


def test_pages_neither_skip_nor_repeat_while_memos_come_and_go(world: World, ada: Account) -> None:
    made = [world.memo(ada.key, f"memo {n}")["id"] for n in range(45)]
    first = page(world, ada, limit=10)
    assert [memo["id"] for memo in first["memos"]] == made[:34:-1]
    world.memo(ada.key, "newer than the cursor")
    for gone in (made[35], made[34], made[40], made[5]):  # the cursor's own memo, the next, an earlier, a later one
        world.delete(f"{MEMO}/{gone}", token=ada.key)
    found, cursor = [], first["nextCursor"]
    while cursor:
        got = page(world, ada, limit=10, cursor=cursor)
        found += [memo["id"] for memo in got["memos"]]
        cursor = got["nextCursor"]
    assert found == [memo for memo in made[33::-1] if memo != made[5]]


def test_a_last_full_page_is_the_end(world: World, ada: Account) -> None:
    for n in range(4):
        world.memo(ada.key, f"memo {n}")
    first = page(world, ada, limit=2)
    assert page(world, ada, limit=2, cursor=first["nextCursor"])["hasMore"] is False


@pytest.mark.thorough
def test_a_page_ends_before_a_megabyte(world: World, ada: Account) -> None:
    world.put_on(ada, Tier.ENTERPRISE)
    for _ in range(8):
        world.memo(ada.key, "a" + "\N{SNOWMAN}" * 99_999)
    answer = world.get(MEMOS, token=ada.session)
    assert len(answer.body) < 1_000_000
    assert answer.json["hasMore"] is True
    assert len(pages(world, ada)) == 8


def test_the_voice_filter_finds_all_of_a_voice_in_any_case(world: World, ada: Account) -> None:
    made = [world.memo(ada.key, f"memo {n}", voice="adam" if n % 5 == 0 else "sam")["id"] for n in range(45)]
    for voice in ("adam", "ADAM"):
        assert [memo["id"] for memo in pages(world, ada, voice=voice, limit=4)] == made[40::-5]


@pytest.mark.parametrize("voice", ["robot"])
def test_an_unknown_voice_in_a_filter_is_refused(world: World, ada: Account, voice: str) -> None:
    answer = world.get(MEMOS, token=ada.session, query={"voice": voice})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_VOICE")
    assert answer.error["details"]["requestedVoice"] == voice


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ({"from": "2026-03-03"}, [4, 3]),
        ({"to": "2026-03-03"}, [3, 2]),
        ({"from": "2026-03-03", "to": "2026-03-03"}, [3]),
        ({"from": "2026-03-03T12:30:00Z"}, [4]),
        ({"to": "2026-03-03T11:59:59.999Z"}, [2]),
        ({"to": "2026-03-03T12:00:01Z"}, [3, 2]),
        ({"from": "2026-03-03T14:00:00+02:00", "to": "2026-03-03T12:01:00Z"}, [3]),
        ({"from": "2026-03-05"}, []),
        ({"to": "1969-12-31"}, []),
        ({"from": "0001-01-01", "to": "9999-12-30"}, [4, 3, 2]),
    ],
)
def test_from_and_to_bound_the_list_by_days_or_times(
    world: World, ada: Account, query: dict[str, str], days: list[int]
) -> None:
    for _ in range(3):
        world.memo(ada.key)
        world.clock.at = world.clock.at.replace(day=world.clock.at.day + 1, second=0, microsecond=0)
    token = world.post("/api/v1/auth/login", json={"email": ada.email, "password": "correct horse battery"})
    answer = world.get(MEMOS, token=token.json["token"], query=query)
    assert [int(memo["createdAt"][8:10]) for memo in answer.json["memos"]] == days


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"limit": "0"}, "VALIDATION_ERROR", "limit"),
        ({"limit": "101"}, "VALIDATION_ERROR", "limit"),
        ({"limit": "-1"}, "VALIDATION_ERROR", "limit"),
        ({"limit": "9" * 30}, "VALIDATION_ERROR", "limit"),
        ({"limit": "abc"}, "INVALID_INPUT", "limit"),
        ({"limit": "1.5"}, "INVALID_INPUT", "limit"),
        ({"limit": "5.0"}, "INVALID_INPUT", "limit"),
        ({"limit": "+5"}, "INVALID_INPUT", "limit"),
        ({"limit": "1_0"}, "INVALID_INPUT", "limit"),
        ({"limit": "\u0665"}, "INVALID_INPUT", "limit"),
        ({"from": "2026-W10"}, "VALIDATION_ERROR", "from"),
        ({"to": "2026-061"}, "VALIDATION_ERROR", "to"),
        ({"to": "20260302"}, "VALIDATION_ERROR", "to"),
        ({"from": "2026-03-02T10:00:00"}, "VALIDATION_ERROR", "from"),
        ({"from": "yesterday"}, "VALIDATION_ERROR", "from"),
        ({"from": "2026-02-30"}, "VALIDATION_ERROR", "from"),
        ({"to": "2026-13-01"}, "VALIDATION_ERROR", "to"),
        ({"from": "2026-03-03", "to": "2026-03-02"}, "VALIDATION_ERROR", "from"),
        ({"from": "2026-03-03T12:00:00Z", "to": "2026-03-03T11:00:00Z"}, "VALIDATION_ERROR", "from"),
        ({"cursor": "forged"}, "VALIDATION_ERROR", "cursor"),
        ({"cursor": "\N{GRINNING FACE}"}, "VALIDATION_ERROR", "cursor"),
        ({"cursor": "A" * 64}, "VALIDATION_ERROR", "cursor"),
    ],
)
def test_bad_queries_are_refused_by_field(
    world: World, ada: Account, query: dict[str, str], code: str, field: str
) -> None:
    answer = world.get(MEMOS, token=ada.session, query=query)
    assert (answer.status, answer.error["code"]) == (400, code)
    assert answer.error["details"]["field"] == field


@pytest.mark.parametrize("limit", [1, 100])
def test_a_page_has_1_to_100_memos(world: World, ada: Account, limit: int) -> None:
    for _ in range(2):
        world.memo(ada.key)
    assert len(page(world, ada, limit=limit)["memos"]) == min(limit, 2)


def test_a_cursor_opens_only_its_owners_list_with_its_filters(world: World, ada: Account, bob: Account) -> None:
    for account in (ada, bob):
        for _ in range(3):
            world.memo(account.key)
    cursor = page(world, ada, limit=1)["nextCursor"]
    filtered = page(world, ada, limit=1, voice="rachel")["nextCursor"]
    changed = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for account, query in (
        (bob, {"cursor": cursor}),
        (ada, {"cursor": cursor, "voice": "rachel"}),
        (ada, {"cursor": cursor, "from": "2026-03-01"}),
        (ada, {"cursor": filtered}),
        (ada, {"cursor": filtered, "voice": "adam"}),
        (ada, {"cursor": changed}),
        (ada, {"cursor": cursor + "AAAA"}),
    ):
        answer = world.get(MEMOS, token=account.session, query=query)
        assert answer.refusal == (400, "VALIDATION_ERROR", "Invalid cursor")
        assert answer.error["details"] == {"field": "cursor"}
    assert world.get("/api/v1/usage", token=ada.session, query={"cursor": cursor}).status == 400
    assert page(world, ada, limit=2, cursor=cursor)["hasMore"] is False


def test_lists_and_memos_take_a_key_or_a_session(world: World, ada: Account) -> None:
    memo = world.memo(ada.key)
    for path in (MEMOS, f"{MEMO}/{memo['id']}"):
        assert world.get(path, token=ada.key).json == world.get(path, token=ada.session).json
        assert world.get(path).refusal[:2] == (401, "MISSING_API_KEY")
        assert world.get(path, token="garbage").refusal[:2] == (401, "INVALID_API_KEY")
    world.post("/api/v1/auth/logout", token=ada.session)
    assert world.get(MEMOS, token=ada.session).refusal[:2] == (401, "EXPIRED_TOKEN")
    world.later(days=8)
    assert world.get(MEMOS, token=ada.session).refusal[:2] == (401, "EXPIRED_TOKEN")


def test_a_demo_answers_a_memo_that_is_not_kept(world: World, ada: Account) -> None:
    answer = world.post(DEMO, json={"text": "Hello there", "voice": "ADAM"}, token="at_live_bad")
    demo = answer.json
    assert answer.status == 201
    assert demo == {
        "id": demo["id"],
        "text": "Hello there",
        "title": None,
        "voice": VOICES[3],
        "audio": {"url": f"{PUBLIC_URL}/audio/simulated-9.mp3", "duration": 0.9, "format": "mp3", "status": "ready"},
        "characterCount": 11,
        "createdAt": demo["createdAt"],
    }
    assert world.get(f"{MEMO}/{demo['id']}", token=ada.key).status == 404
    assert audio(world).status == 200


@pytest.mark.parametrize(("text", "status"), [(EMOJI * 500, 201), (EMOJI * 500 + "!", 400)])
def test_a_demo_has_at_most_1000_utf_16_units(world: World, text: str, status: int) -> None:
    answer = world.post(DEMO, json={"text": text, "voice": "rachel"})
    assert answer.status == status
    if status == 400:
        assert answer.error["details"] == {"field": "text", "limit": 1000, "provided": 1001}


def test_an_hour_admits_sixty_demos_from_an_address(world: World) -> None:
    def demo(text: str = "Hello", source_ip: str = "203.0.113.7") -> Answer:
        return world.post(DEMO, json={"text": text, "voice": "rachel"}, source_ip=source_ip)

    assert demo("").status == 400
    assert {demo().status for _ in range(60)} == {201}
    refused = demo()
    assert refused.refusal[:2] == (429, "RATE_LIMIT_EXCEEDED")
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    assert demo(source_ip="203.0.113.8").status == 201
    world.later(hours=1)
    assert demo().status == 201


def test_audio_is_a_playable_mp3_of_the_duration(world: World, ada: Account) -> None:
    memo = world.memo(ada.key, "x" * 100)
    path = memo["audio"]["url"].removeprefix(PUBLIC_URL)
    answer = world.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"].startswith('"')
    length = seconds(answer)
    assert length == pytest.approx(memo["audio"]["duration"], abs=0.05)


def test_simulated_audio_has_a_minute_at_most(world: World) -> None:
    answer = audio(world, path="/audio/simulated-80000.mp3")
    assert seconds(answer) == pytest.approx(60, abs=0.05)


@pytest.mark.parametrize(
    "file",
    [
        "nothing.mp3",
        "simulated-.mp3",
        "simulated-01.mp3",
        "simulated-9.flac",
        "simulated-9.mp3x",
        "%2e%2e",
        "simulated--9",
    ],
)
def test_absent_audio_is_404(world: World, file: str) -> None:
    assert audio(world, path=f"/audio/{file}").refusal[:2] == (404, "NOT_FOUND")


def test_known_audio_is_not_sent_again(world: World) -> None:
    etag = audio(world).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = audio(world, if_none_match=known)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "audio/mpeg"
    assert audio(world, if_none_match='"other"').status == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-24", -24, None), ("bytes=10-99999", 10, None)],
)
def test_a_range_is_answered_with_its_part(world: World, asked: str, start: int, end: int | None) -> None:
    whole = audio(world).body
    answer = audio(world, range=asked)
    part = whole[start:end]
    first = start % len(whole)
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(len(part))
    assert answer.headers["etag"]


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-99999", "bytes=0-99999"])
def test_audio_answers_206_for_a_range_of_the_whole_file(world: World, asked: str) -> None:
    """A range of all bytes is a range too (RFC 9110, 14.2): players that send `bytes=0-` expect 206."""
    whole = audio(world).body
    answer = audio(world, range=asked)
    assert (answer.status, answer.body) == (206, whole)
    assert answer.headers["content-range"] == f"bytes 0-{len(whole) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=99999-", "bytes=-0"])
def test_a_range_beyond_the_end_cannot_be_satisfied(world: World, asked: str) -> None:
    answer = audio(world, range=asked)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(audio(world).body)}")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=-", ""])
def test_a_malformed_range_is_ignored(world: World, asked: str) -> None:
    assert audio(world, range=asked).status == 200


def test_a_range_holds_only_if_the_file_is_the_one_known(world: World) -> None:
    etag = audio(world).headers["etag"]
    assert audio(world, range="bytes=0-9", if_range=etag).status == 206
    assert audio(world, range="bytes=0-9", if_range='"other"').status == 200


def test_head_answers_the_headers_of_get(world: World) -> None:
    got, head = audio(world), audio(world, "HEAD")
    assert head.status == 200
    assert head.headers["content-type"] == "audio/mpeg"
    assert head.headers["content-length"] == str(len(got.body))
    assert head.headers["etag"] == got.headers["etag"]
    assert audio(world, "HEAD", range="bytes=0-9").status == 200, "only GET has ranges"


@pytest.mark.parametrize("rest", [False, True])
def test_a_memos_life_through_either_kind_of_event(world: World, ada: Account, rest: bool) -> None:  # noqa: FBT001
    made = world.post(MEMO, token=ada.key, json={"text": f"Hi {EMOJI}", "voice": "sam"}, rest=rest)
    assert (made.status, made.json["text"]) == (201, f"Hi {EMOJI}")
    assert made.headers["x-ratelimit-remaining"] == "99"
    path = f"{MEMO}/{made.json['id']}"
    assert world.patch(path, token=ada.key, json={"title": "t"}, rest=rest).json["title"] == "t"
    listed = world.get(MEMOS, token=ada.key, query={"voice": "sam", "from": "2026-03-02T00:00:00+00:00"}, rest=rest)
    assert [memo["id"] for memo in listed.json["memos"]] == [made.json["id"]]
    file = world.get(made.json["audio"]["url"].removeprefix(PUBLIC_URL), rest=rest)
    assert (file.status, file.headers["content-type"]) == (200, "audio/mpeg")
    assert seconds(file) > 0
    assert world.delete(path, token=ada.key, rest=rest).status == 200


@pytest.mark.parametrize("path", ["/api/v1/memo", "/v1/audio/speech", "/mcp"])
def test_session_in_place_of_a_key_is_told_so(world: World, ada: Account, path: str) -> None:
    """New users have both in one answer: the error names the credential that was sent."""
    answer = world.post(path, token=ada.session, json={"text": "Hello", "voice": "sam"})
    assert answer.status == 401
    assert "takes an API key, not a session" in answer.body.decode()
