"""Accounts through whole events: sign-up, login, logout, the account, and passwords."""

import re
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from shared.core.settings import DEVELOPMENT_SECRET
from tests.handlers.world import NOON, PASSWORD, PRODUCTION, Account, Answer, World

SIGN_UP = "/api/v1/auth/signup"
LOG_IN = "/api/v1/auth/login"
LOG_OUT = "/api/v1/auth/logout"
ME = "/api/v1/auth/me"
CHANGE = "/api/v1/auth/change-password"
NewWorld = Callable[..., World]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile(r"[A-Za-z0-9_-]+")
TAKEN = (409, "CONFLICT", "An account with this email already exists")
NO_LOGIN = (401, "UNAUTHORIZED", "Invalid email or password")


def log_in(world: World, email: str, password: str = PASSWORD, source_ip: str = "203.0.113.7") -> Answer:
    return world.post(LOG_IN, json={"email": email, "password": password}, source_ip=source_ip)


def test_a_sign_up_answers_the_user_a_session_and_a_first_key(world: World) -> None:
    answer = world.post(SIGN_UP, json={"email": "  Ada@Example.ORG ", "password": PASSWORD})
    body = answer.json
    assert answer.status == 201
    assert body.keys() == {"success", "user", "token", "expiresAt", "apiKey", "warning"}
    assert body["success"] is True
    user = body["user"]
    assert user == {
        "id": user["id"],
        "email": "ada@example.org",
        "tier": "hobby",
        "role": "user",
        "emailVerified": False,
        "createdAt": user["createdAt"],
        "updatedAt": user["createdAt"],
    }
    assert ID.fullmatch(user["id"])
    assert TIME.fullmatch(user["createdAt"])
    assert user["createdAt"].startswith("2026-03-02T12:00:00.")
    assert body["expiresAt"] == "2026-03-09T12:00:00.000Z"
    key = body["apiKey"]
    assert key.keys() == {"id", "key", "prefix", "name", "createdAt"}
    assert re.fullmatch(r"at_live_[A-Za-z0-9_-]{43}", key["key"])
    assert (key["prefix"], key["name"]) == ("at_live_", "Default Key")
    assert TIME.fullmatch(key["createdAt"])
    assert isinstance(body["warning"], str)


def test_a_sign_up_sets_the_session_as_a_cookie_of_seven_days(world: World) -> None:
    answer = world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD})
    (cookie,) = answer.cookies
    value, *attributes = cookie.split("; ")
    assert value == f"auth_token={answer.json['token']}"
    assert {attribute.lower() for attribute in attributes} == {"httponly", "max-age=604800", "path=/", "samesite=lax"}


def test_in_production_the_cookie_is_secure(new_world: NewWorld) -> None:
    world = new_world(PRODUCTION)
    for answer in (
        world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD}),
        log_in(world, "ada@example.org"),
        world.post(LOG_OUT),
    ):
        assert "Secure" in answer.cookies[0].split("; ")


def test_the_session_of_a_sign_up_opens_the_account(world: World) -> None:
    account = world.sign_up()
    answer = world.get(ME, token=account.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "user"}
    assert answer.json["user"]["id"] == account.id


def test_a_second_sign_up_of_an_address_is_refused_in_any_case(world: World, ada: Account) -> None:
    answer = world.post(SIGN_UP, json={"email": ada.email.upper(), "password": PASSWORD})
    assert answer.refusal == TAKEN
    assert answer.error.keys() == {"code", "message"}
    assert answer.cookies == ()


@pytest.mark.parametrize(
    ("path", "good"),
    [
        (SIGN_UP, {"email": "ada@example.org", "password": PASSWORD}),
        (LOG_IN, {"email": "ada@example.org", "password": PASSWORD}),
        (CHANGE, {"currentPassword": PASSWORD, "newPassword": "another password"}),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("absent", "missing"),
        (None, "missing"),
        ("", "missing"),
        (7, "number"),
        (1.5, "number"),
        (True, "boolean"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_each_field_is_required_and_text(
    world: World, path: str, good: dict[str, str], position: int, value: Any, expected: str
) -> None:
    field = list(good)[position]
    sent: dict[str, Any] = good | {field: value}
    if value == "absent":
        del sent[field]
    token = world.sign_up("somebody@example.org").session if path == CHANGE else None
    answer = world.post(path, json=sent, token=token)
    if expected == "missing":
        assert answer.refusal == (400, "MISSING_FIELD", f"Missing required field: {field}")
        assert answer.error["details"] == {"field": field}
    else:
        assert answer.refusal == (400, "INVALID_INPUT", f"Invalid {field}: expected string")
        assert answer.error["details"].keys() == {"field", "reason", "providedType"}
        assert answer.error["details"]["field"] == field
        assert answer.error["details"]["providedType"] == expected


def test_an_empty_body_is_told_what_it_misses(world: World) -> None:
    for body in (None, "", "{}"):
        answer = world.post(SIGN_UP, body=body)
        assert answer.refusal == (400, "MISSING_FIELD", "Missing required field: email")


@pytest.mark.parametrize(
    "email", ["ada", "@example.org", "ada@", "ada@example", "a da@example.org", "ada@example.org\x00", " ", "ada@."]
)
def test_what_is_no_address_is_refused(world: World, email: str) -> None:
    answer = world.post(SIGN_UP, json={"email": email, "password": PASSWORD})
    assert (answer.status, answer.error["code"], answer.error["details"]) == (
        400,
        "VALIDATION_ERROR",
        {"field": "email"},
    )


@pytest.mark.parametrize(("length", "status"), [(254, 201), (255, 400)])
def test_an_address_has_at_most_254_characters_after_trimming(world: World, length: int, status: int) -> None:
    email = "a" * (length - 12) + "@example.org"
    answer = world.post(SIGN_UP, json={"email": f"  {email}  ", "password": PASSWORD})
    assert answer.status == status
    if status == 400:
        assert answer.error["details"] == {"field": "email", "maxLength": 254, "provided": 255}


@pytest.mark.parametrize(
    ("password", "status"),
    [
        ("1234567", 400),
        ("12345678", 201),
        ("\N{GRINNING FACE}" * 3, 400),
        ("\N{GRINNING FACE}" * 4, 201),
        ("\N{GRINNING FACE}" * 64, 201),
        ("\N{GRINNING FACE}" * 64 + "a", 400),
        ("p" * 128, 201),
        ("p" * 129, 400),
    ],
)
def test_a_password_has_8_to_128_utf_16_units(world: World, password: str, status: int) -> None:
    answer = world.post(SIGN_UP, json={"email": "ada@example.org", "password": password})
    assert answer.status == status
    if status == 400:
        assert answer.error["code"] == "VALIDATION_ERROR"
        assert answer.error["details"]["field"] == "password"
    else:
        assert log_in(world, "ada@example.org", password).status == 200


def test_a_password_is_kept_as_it_is(world: World) -> None:
    world.sign_up("ada@example.org", "  Spaces and CASE ")
    assert log_in(world, "ada@example.org", "  Spaces and CASE ").status == 200
    assert log_in(world, "ada@example.org", "spaces and case").refusal == NO_LOGIN


def test_a_login_answers_the_user_and_a_new_session(world: World, ada: Account) -> None:
    answer = log_in(world, " ADA@example.org")
    body = answer.json
    assert answer.status == 200
    assert body.keys() == {"success", "user", "token", "expiresAt"}
    assert body["success"] is True
    assert body["user"] == world.get(ME, token=ada.session).json["user"]
    assert body["token"] != ada.session
    assert body["expiresAt"] == "2026-03-09T12:00:00.000Z"
    assert answer.cookies[0].startswith(f"auth_token={body['token']}; ")


def test_an_unknown_address_and_a_wrong_password_answer_alike(world: World, ada: Account) -> None:
    unknown, wrong = log_in(world, "nobody@example.org"), log_in(world, ada.email, "wrong password")
    assert unknown.refusal == wrong.refusal == NO_LOGIN
    assert unknown.body == wrong.body
    assert unknown.headers.keys() == wrong.headers.keys()


def test_an_unknown_address_costs_one_check_of_a_password_too(world: World, ada: Account) -> None:
    log_in(world, ada.email, "wrong password")
    checks = len(world.hasher.checks)
    log_in(world, "nobody@example.org")
    assert len(world.hasher.checks) == checks + 1


def test_ten_failed_logins_close_an_account_to_an_address(world: World, ada: Account) -> None:
    for _ in range(10):
        assert log_in(world, ada.email, "wrong password").refusal == NO_LOGIN
    refused = log_in(world, ada.email)
    assert refused.refusal == (429, "RATE_LIMIT_EXCEEDED", "Too many attempts. Please try again later.")
    assert "details" not in refused.error
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert len(world.hasher.checks) == 10


def test_the_window_of_failed_logins_ends_when_retry_after_says(world: World, ada: Account) -> None:
    for _ in range(10):
        log_in(world, ada.email, "wrong password")
    wait = int(log_in(world, ada.email).headers["retry-after"])
    world.later(seconds=wait - 1)
    assert log_in(world, ada.email).status == 429
    world.later(seconds=1)
    assert log_in(world, ada.email).status == 200


def test_failed_logins_of_one_address_leave_others_alone(world: World, ada: Account) -> None:
    for _ in range(11):
        log_in(world, ada.email, "wrong password")
    assert log_in(world, ada.email, source_ip="203.0.113.8").status == 200


def test_good_logins_are_not_counted(world: World, ada: Account) -> None:
    for _ in range(12):
        assert log_in(world, ada.email).status == 200


def test_invalid_login_requests_are_not_counted(world: World, ada: Account) -> None:
    for _ in range(12):
        assert world.post(LOG_IN, json={"email": ada.email}).status == 400
    assert log_in(world, ada.email).status == 200


def test_an_address_has_a_limit_over_all_accounts(new_world: NewWorld) -> None:
    world = new_world({"FAILED_LOGINS_PER_ADDRESS": "15"})
    account = world.sign_up()
    for n in range(15):
        assert log_in(world, f"victim{n}@example.org").status == 401
    assert log_in(world, account.email).status == 429
    assert log_in(world, account.email, source_ip="203.0.113.8").status == 200
    world.later(minutes=15)
    assert log_in(world, account.email).status == 200


def test_an_hour_admits_twenty_sign_ups_from_an_address(world: World) -> None:
    def sign_up(n: int, source_ip: str = "203.0.113.7") -> Answer:
        return world.post(SIGN_UP, json={"email": f"u{n}@example.org", "password": PASSWORD}, source_ip=source_ip)

    for n in range(20):
        assert sign_up(n).status == 201
    refused = sign_up(20)
    assert refused.refusal[:2] == (429, "RATE_LIMIT_EXCEEDED")
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    assert sign_up(20, source_ip="203.0.113.8").status == 201
    world.later(hours=1)
    assert sign_up(21).status == 201


def test_invalid_sign_ups_are_not_counted(new_world: NewWorld) -> None:
    world = new_world({"SIGNUPS_PER_ADDRESS": "1"})
    for _ in range(3):
        assert world.post(SIGN_UP, json={"email": "ada@example.org", "password": "short"}).status == 400
    assert world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD}).status == 201


def test_the_client_address_is_the_gateways_source_ip_whatever_headers_say(new_world: NewWorld) -> None:
    world = new_world({"SIGNUPS_PER_ADDRESS": "1"})
    statuses = [
        world.post(
            SIGN_UP,
            json={"email": f"u{n}@example.org", "password": PASSWORD},
            headers={"x-forwarded-for": f"192.0.2.{n}", "x-real-ip": f"192.0.2.{n}", "forwarded": f"for=192.0.2.{n}"},
        ).status
        for n in range(2)
    ]
    assert statuses == [201, 429]


def test_a_logout_ends_its_session_and_clears_the_cookie(world: World, ada: Account) -> None:
    answer = world.post(LOG_OUT, token=ada.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "message"}
    (cookie,) = answer.cookies
    value, *attributes = cookie.split("; ")
    assert value in ('auth_token=""', "auth_token=")
    assert {"max-age=0", "path=/", "httponly", "samesite=lax"} <= {attribute.lower() for attribute in attributes}
    assert world.get(ME, token=ada.session).refusal[:2] == (401, "EXPIRED_TOKEN")


def test_a_logout_ends_only_its_own_session(world: World, ada: Account) -> None:
    other = log_in(world, ada.email).json["token"]
    world.post(LOG_OUT, cookies=[f"auth_token={ada.session}"])
    assert world.get(ME, token=ada.session).status == 401
    assert world.get(ME, token=other).status == 200


@pytest.mark.parametrize("token", [None, "garbage", "at_live_" + "a" * 43, "at_live_x"])
def test_a_logout_works_without_a_session(world: World, token: str | None) -> None:
    assert world.post(LOG_OUT, token=token).status == 200


def test_a_logout_is_repeatable(world: World, ada: Account) -> None:
    assert [world.post(LOG_OUT, token=ada.session).status for _ in range(2)] == [200, 200]


def test_change_password_ends_all_sessions_but_the_asking_one(world: World, ada: Account) -> None:
    """The web page that asked goes on with its token; every other session has ended, and a new one begins."""
    other = log_in(world, ada.email).json["token"]
    answer = world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"})
    assert answer.status == 200
    assert answer.json.keys() == {"success", "message", "token", "expiresAt"}
    assert answer.json["expiresAt"] == "2026-03-09T12:00:00.000Z"
    assert answer.cookies[0].startswith(f"auth_token={answer.json['token']}; ")
    assert world.get(ME, token=other).refusal[:2] == (401, "EXPIRED_TOKEN")
    for good in (ada.session, answer.json["token"]):
        assert world.get(ME, token=good).status == 200


def test_change_password_is_refused_after_ten_wrong_ones(world: World, ada: Account) -> None:
    """The current password cannot be guessed: the eleventh attempt of an address is 429, though it is right."""
    for _ in range(10):
        wrong = world.post(CHANGE, token=ada.session, json={"currentPassword": "wrong", "newPassword": "another one"})
        assert wrong.refusal[:2] == (401, "UNAUTHORIZED")
    body = {"currentPassword": PASSWORD, "newPassword": "another one"}
    refused = world.post(CHANGE, token=ada.session, json=body)
    assert refused.refusal[:2] == (429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert world.post(CHANGE, token=ada.session, json=body, source_ip="203.0.113.8").status == 200


def test_a_changed_password_replaces_the_old_one(world: World, ada: Account) -> None:
    world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"})
    assert log_in(world, ada.email).refusal == NO_LOGIN
    assert log_in(world, ada.email, "another one").status == 200


def test_a_changed_password_leaves_the_keys_working(world: World, ada: Account) -> None:
    world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"})
    world.memo(ada.key)


def test_a_changed_password_shows_in_updated_at(world: World, ada: Account) -> None:
    world.later(hours=1)
    token = world.post(
        CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"}
    ).json["token"]
    user = world.get(ME, token=token).json["user"]
    assert user["createdAt"].startswith("2026-03-02T12:")
    assert user["updatedAt"].startswith("2026-03-02T13:")


def test_a_wrong_current_password_changes_nothing(world: World, ada: Account) -> None:
    answer = world.post(CHANGE, token=ada.session, json={"currentPassword": "wrong", "newPassword": "another one"})
    assert answer.refusal == (401, "UNAUTHORIZED", "Current password is incorrect")
    assert answer.cookies == ()
    assert world.get(ME, token=ada.session).status == 200
    assert log_in(world, ada.email).status == 200


def test_a_new_password_obeys_the_same_bounds(world: World, ada: Account) -> None:
    answer = world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "p" * 129})
    assert answer.refusal[:2] == (400, "VALIDATION_ERROR")
    assert answer.error["details"] == {"field": "newPassword", "maxLength": 128, "provided": 129}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer {}"},
        {"authorization": "BEARER {}"},
        {"authorization": "Bearer   {} "},
        {"authorization": "{}"},
        {"cookie": "auth_token={}"},
        {"cookie": "theme=dark; auth_token={}; a=b"},
    ],
)
def test_a_session_is_taken_from_the_header_or_the_cookie(world: World, ada: Account, headers: dict[str, str]) -> None:
    sent = {name: value.format(ada.session) for name, value in headers.items()}
    assert world.get(ME, headers=sent).status == 200


def test_the_header_wins_over_the_cookie(world: World, ada: Account, bob: Account) -> None:
    cookie = [f"auth_token={bob.session}"]
    assert world.get(ME, token=ada.session, cookies=cookie).json["user"]["id"] == ada.id
    assert world.get(ME, token="garbage", cookies=cookie).refusal[:2] == (401, "INVALID_API_KEY")


def test_no_credential_is_told_so(world: World) -> None:
    answer = world.get(ME)
    assert answer.refusal[:2] == (401, "MISSING_API_KEY")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "details" not in answer.error


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "at_live_" + "a" * 43, "\xe9"])
def test_what_is_no_session_is_told_so(world: World, token: str) -> None:
    answer = world.get(ME, headers={"authorization": token})
    assert answer.refusal[:2] == (401, "INVALID_API_KEY")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_good_key_is_no_session(world: World, ada: Account) -> None:
    for method, path in (("GET", ME), ("POST", CHANGE)):
        assert world.send(method, path, token=ada.key).refusal[:2] == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_a_session_signed_in_another_way_is_refused(world: World, ada: Account, algorithm: str) -> None:
    claims = jwt.decode(ada.session, options={"verify_signature": False})
    forged = jwt.encode(claims, DEVELOPMENT_SECRET * 2 if algorithm == "HS512" else "", algorithm=algorithm)
    assert world.get(ME, token=forged).refusal[:2] == (401, "INVALID_API_KEY")


def test_a_session_signed_with_another_secret_is_refused(world: World, ada: Account) -> None:
    claims = jwt.decode(ada.session, options={"verify_signature": False})
    forged = jwt.encode(claims, "x" * 32, algorithm="HS256")
    assert world.get(ME, token=forged).refusal[:2] == (401, "INVALID_API_KEY")


def test_a_session_ends_after_seven_days(world: World, ada: Account) -> None:
    world.clock.at = NOON.replace(day=9, hour=11, minute=59, second=59)
    assert world.get(ME, token=ada.session).status == 200
    world.later(seconds=1)
    answer = world.get(ME, token=ada.session)
    assert answer.refusal[:2] == (401, "EXPIRED_TOKEN")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_credentials_are_looked_at_before_the_body(world: World) -> None:
    assert world.post(CHANGE, json={"currentPassword": 7}).refusal[:2] == (401, "MISSING_API_KEY")


def test_public_routes_ignore_bad_credentials(world: World, ada: Account) -> None:
    bad = {"token": "at_live_bad", "cookies": ["auth_token=garbage"]}
    assert world.post(SIGN_UP, json={"email": "x@example.org", "password": PASSWORD}, **bad).status == 201
    assert world.post(LOG_IN, json={"email": ada.email, "password": PASSWORD}, **bad).status == 200


def test_no_answer_holds_a_hash_or_a_row_field(world: World, ada: Account) -> None:
    for answer in (world.get(ME, token=ada.session), log_in(world, ada.email)):
        assert b"argon2" not in answer.body
        assert b"assword" not in answer.body


@pytest.mark.parametrize("rest", [False, True])
def test_a_whole_life_through_either_kind_of_event(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    signed_up = world.post(SIGN_UP, json=credentials, rest=rest)
    assert signed_up.status == 201
    assert signed_up.cookies[0].startswith("auth_token=")
    token = world.post(LOG_IN, json=credentials, rest=rest).json["token"]
    assert world.get(ME, cookies=["a=b", f"auth_token={token}"], rest=rest).status == 200
    assert world.post(LOG_OUT, token=token, rest=rest).status == 200
    assert world.get(ME, token=token, rest=rest).status == 401


def test_sign_up_counts_the_64_of_an_ipv6_address(new_world: NewWorld) -> None:
    """Twenty-five addresses of one /64 are one client, and the neighbouring /64 is another."""
    world = new_world()
    body = {"password": PASSWORD}
    statuses = [
        world.post(SIGN_UP, json=body | {"email": f"u{n}@example.org"}, source_ip=f"2001:db8::{n:x}").status
        for n in range(1, 26)
    ]
    assert statuses == [201] * 20 + [429] * 5
    neighbour = world.post(SIGN_UP, json=body | {"email": "n@example.org"}, source_ip="2001:db8:0:1::1")
    assert neighbour.status == 201
