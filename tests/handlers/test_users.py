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


def test_sign_up_answers_user_session_and_first_key(world: World) -> None:
    """A sign-up answers exactly the fields of the contract: the user, a session of seven days, and a first live key."""
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


def test_sign_up_sets_a_cookie_of_seven_days(world: World) -> None:
    """The cookie contains the answered token and has the attributes of the contract."""
    answer = world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD})
    (cookie,) = answer.cookies
    value, *attributes = cookie.split("; ")
    assert value == f"auth_token={answer.json['token']}"
    assert {attribute.lower() for attribute in attributes} == {"httponly", "max-age=604800", "path=/", "samesite=lax"}


def test_cookie_is_secure_in_production(new_world: NewWorld) -> None:
    """Sign-up, login and logout set it with Secure."""
    world = new_world(PRODUCTION)
    for answer in (
        world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD}),
        log_in(world, "ada@example.org"),
        world.post(LOG_OUT),
    ):
        assert "Secure" in answer.cookies[0].split("; ")


def test_sign_up_session_opens_the_account(world: World) -> None:
    """The session of a sign-up is valid immediately."""
    account = world.sign_up()
    answer = world.get(ME, token=account.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "user"}
    assert answer.json["user"]["id"] == account.id


def test_sign_up_is_409_when_the_address_is_taken(world: World, ada: Account) -> None:
    """A taken address, in any case of its letters, is 409 without a cookie."""
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
def test_body_fields_are_required_text(
    world: World, path: str, good: dict[str, str], position: int, value: Any, expected: str
) -> None:
    """An absent, null or empty field is MISSING_FIELD; another type is INVALID_INPUT and named."""
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


def test_sign_up_names_the_missing_field_of_an_empty_body(world: World) -> None:
    """An absent body counts as an empty object."""
    for body in (None, "", "{}"):
        answer = world.post(SIGN_UP, body=body)
        assert answer.refusal == (400, "MISSING_FIELD", "Missing required field: email")


@pytest.mark.parametrize(
    "email", ["ada", "@example.org", "ada@", "ada@example", "a da@example.org", "ada@example.org\x00", " ", "ada@."]
)
def test_sign_up_refuses_what_is_no_address(world: World, email: str) -> None:
    """A malformed e-mail address is 400 and names the field."""
    answer = world.post(SIGN_UP, json={"email": email, "password": PASSWORD})
    assert (answer.status, answer.error["code"], answer.error["details"]) == (
        400,
        "VALIDATION_ERROR",
        {"field": "email"},
    )


@pytest.mark.parametrize(("length", "status"), [(254, 201), (255, 400)])
def test_sign_up_takes_addresses_of_254_characters(world: World, length: int, status: int) -> None:
    """Spaces around the address do not count."""
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
def test_sign_up_takes_passwords_of_8_to_128_units(world: World, password: str, status: int) -> None:
    """Length counts UTF-16 code units, and a password that was taken logs in."""
    answer = world.post(SIGN_UP, json={"email": "ada@example.org", "password": password})
    assert answer.status == status
    if status == 400:
        assert answer.error["code"] == "VALIDATION_ERROR"
        assert answer.error["details"]["field"] == "password"
    else:
        assert log_in(world, "ada@example.org", password).status == 200


def test_password_is_neither_trimmed_nor_folded(world: World) -> None:
    """Spaces and case count."""
    world.sign_up("ada@example.org", "  Spaces and CASE ")
    assert log_in(world, "ada@example.org", "  Spaces and CASE ").status == 200
    assert log_in(world, "ada@example.org", "spaces and case").refusal == NO_LOGIN


def test_log_in_answers_the_user_and_a_new_session(world: World, ada: Account) -> None:
    """The address is compared trimmed and in lower case, and the cookie contains the new token."""
    answer = log_in(world, " ADA@example.org")
    body = answer.json
    assert answer.status == 200
    assert body.keys() == {"success", "user", "token", "expiresAt"}
    assert body["success"] is True
    assert body["user"] == world.get(ME, token=ada.session).json["user"]
    assert body["token"] != ada.session
    assert body["expiresAt"] == "2026-03-09T12:00:00.000Z"
    assert answer.cookies[0].startswith(f"auth_token={body['token']}; ")


def test_log_in_answers_alike_when_unknown_or_wrong(world: World, ada: Account) -> None:
    """Status, body and headers do not reveal whether an address has an account."""
    unknown, wrong = log_in(world, "nobody@example.org"), log_in(world, ada.email, "wrong password")
    assert unknown.refusal == wrong.refusal == NO_LOGIN
    assert unknown.body == wrong.body
    assert unknown.headers.keys() == wrong.headers.keys()


def test_log_in_checks_a_password_when_unknown(world: World, ada: Account) -> None:
    """A login for an unknown address checks a hash too."""
    log_in(world, ada.email, "wrong password")
    checks = len(world.hasher.checks)
    log_in(world, "nobody@example.org")
    assert len(world.hasher.checks) == checks + 1


def test_log_in_is_429_after_ten_failures(world: World, ada: Account) -> None:
    """The eleventh attempt is refused before its password is checked."""
    for _ in range(10):
        assert log_in(world, ada.email, "wrong password").refusal == NO_LOGIN
    refused = log_in(world, ada.email)
    assert refused.refusal == (429, "RATE_LIMIT_EXCEEDED", "Too many attempts. Please try again later.")
    assert "details" not in refused.error
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert len(world.hasher.checks) == 10


def test_log_in_window_ends_when_retry_after_says(world: World, ada: Account) -> None:
    """One second earlier a login is still 429."""
    for _ in range(10):
        log_in(world, ada.email, "wrong password")
    wait = int(log_in(world, ada.email).headers["retry-after"])
    world.later(seconds=wait - 1)
    assert log_in(world, ada.email).status == 429
    world.later(seconds=1)
    assert log_in(world, ada.email).status == 200


def test_log_in_failures_close_no_other_address(world: World, ada: Account) -> None:
    """The owner can log in from another address."""
    for _ in range(11):
        log_in(world, ada.email, "wrong password")
    assert log_in(world, ada.email, source_ip="203.0.113.8").status == 200


def test_log_in_counts_no_good_logins(world: World, ada: Account) -> None:
    """More good logins than the limit succeed."""
    for _ in range(12):
        assert log_in(world, ada.email).status == 200


def test_log_in_counts_no_invalid_requests(world: World, ada: Account) -> None:
    """A 400 takes no attempt."""
    for _ in range(12):
        assert world.post(LOG_IN, json={"email": ada.email}).status == 400
    assert log_in(world, ada.email).status == 200


def test_log_in_has_a_limit_per_address(new_world: NewWorld) -> None:
    """Failures on many accounts close the address for all, until the window ends."""
    world = new_world({"FAILED_LOGINS_PER_ADDRESS": "15"})
    account = world.sign_up()
    for n in range(15):
        assert log_in(world, f"victim{n}@example.org").status == 401
    assert log_in(world, account.email).status == 429
    assert log_in(world, account.email, source_ip="203.0.113.8").status == 200
    world.later(minutes=15)
    assert log_in(world, account.email).status == 200


def test_sign_up_admits_twenty_an_hour_per_address(world: World) -> None:
    """The next is 429 with the rest of the hour in Retry-After; other addresses are not affected."""

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


def test_sign_up_counts_no_invalid_requests(new_world: NewWorld) -> None:
    """A 400 takes no attempt."""
    world = new_world({"SIGNUPS_PER_ADDRESS": "1"})
    for _ in range(3):
        assert world.post(SIGN_UP, json={"email": "ada@example.org", "password": "short"}).status == 400
    assert world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD}).status == 201


def test_client_address_is_the_source_ip(new_world: NewWorld) -> None:
    """No header changes the address by which attempts are counted."""
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


def test_log_out_ends_its_session_and_clears_the_cookie(world: World, ada: Account) -> None:
    """The token is EXPIRED_TOKEN afterwards."""
    answer = world.post(LOG_OUT, token=ada.session)
    assert answer.status == 200
    assert answer.json.keys() == {"success", "message"}
    (cookie,) = answer.cookies
    value, *attributes = cookie.split("; ")
    assert value in ('auth_token=""', "auth_token=")
    assert {"max-age=0", "path=/", "httponly", "samesite=lax"} <= {attribute.lower() for attribute in attributes}
    assert world.get(ME, token=ada.session).refusal[:2] == (401, "EXPIRED_TOKEN")


def test_log_out_ends_no_other_session(world: World, ada: Account) -> None:
    """Another session of the same user stays good."""
    other = log_in(world, ada.email).json["token"]
    world.post(LOG_OUT, cookies=[f"auth_token={ada.session}"])
    assert world.get(ME, token=ada.session).status == 401
    assert world.get(ME, token=other).status == 200


@pytest.mark.parametrize("token", [None, "garbage", "at_live_" + "a" * 43, "at_live_x"])
def test_log_out_is_200_without_a_session(world: World, token: str | None) -> None:
    """A logout without a credential, with garbage or with an API key is 200."""
    assert world.post(LOG_OUT, token=token).status == 200


def test_log_out_is_repeatable(world: World, ada: Account) -> None:
    """The second one is 200 too."""
    assert [world.post(LOG_OUT, token=ada.session).status for _ in range(2)] == [200, 200]


def test_change_password_ends_all_sessions_but_the_asking_one(world: World, ada: Account) -> None:
    """The token of the request stays valid; every other session has ended, and a new one begins."""
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


def test_change_password_replaces_the_old_one(world: World, ada: Account) -> None:
    """The old password no longer logs in, the new one does."""
    world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"})
    assert log_in(world, ada.email).refusal == NO_LOGIN
    assert log_in(world, ada.email, "another one").status == 200


def test_change_password_leaves_keys_working(world: World, ada: Account) -> None:
    """API keys do not depend on the password."""
    world.post(CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"})
    world.memo(ada.key)


def test_change_password_sets_updated_at(world: World, ada: Account) -> None:
    """createdAt stays unchanged."""
    world.later(hours=1)
    token = world.post(
        CHANGE, token=ada.session, json={"currentPassword": PASSWORD, "newPassword": "another one"}
    ).json["token"]
    user = world.get(ME, token=token).json["user"]
    assert user["createdAt"].startswith("2026-03-02T12:")
    assert user["updatedAt"].startswith("2026-03-02T13:")


def test_change_password_changes_nothing_when_wrong(world: World, ada: Account) -> None:
    """A wrong current password is 401, sets no cookie and ends no session."""
    answer = world.post(CHANGE, token=ada.session, json={"currentPassword": "wrong", "newPassword": "another one"})
    assert answer.refusal == (401, "UNAUTHORIZED", "Current password is incorrect")
    assert answer.cookies == ()
    assert world.get(ME, token=ada.session).status == 200
    assert log_in(world, ada.email).status == 200


def test_change_password_bounds_the_new_one(world: World, ada: Account) -> None:
    """The bounds are those of a sign-up, and the error names the field."""
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
def test_session_comes_by_header_or_cookie(world: World, ada: Account, headers: dict[str, str]) -> None:
    """A session is a bearer token in any case, the bare token, or one of several cookies."""
    sent = {name: value.format(ada.session) for name, value in headers.items()}
    assert world.get(ME, headers=sent).status == 200


def test_header_wins_over_the_cookie(world: World, ada: Account, bob: Account) -> None:
    """A bad token in the header is refused, though the cookie is good."""
    cookie = [f"auth_token={bob.session}"]
    assert world.get(ME, token=ada.session, cookies=cookie).json["user"]["id"] == ada.id
    assert world.get(ME, token="garbage", cookies=cookie).refusal[:2] == (401, "INVALID_API_KEY")


def test_session_route_is_401_without_a_credential(world: World) -> None:
    """The answer has WWW-Authenticate."""
    answer = world.get(ME)
    assert answer.refusal[:2] == (401, "MISSING_API_KEY")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "details" not in answer.error


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "at_live_" + "a" * 43, "\xe9"])
def test_session_route_refuses_what_is_no_session(world: World, token: str) -> None:
    """Malformed tokens are INVALID_API_KEY."""
    answer = world.get(ME, headers={"authorization": token})
    assert answer.refusal[:2] == (401, "INVALID_API_KEY")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_session_route_refuses_a_good_key(world: World, ada: Account) -> None:
    """An API key opens no account."""
    for method, path in (("GET", ME), ("POST", CHANGE)):
        assert world.send(method, path, token=ada.key).refusal[:2] == (401, "INVALID_API_KEY")


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_session_of_another_algorithm_is_refused(world: World, ada: Account, algorithm: str) -> None:
    """`none` and HS512 are no signatures of ours."""
    claims = jwt.decode(ada.session, options={"verify_signature": False})
    forged = jwt.encode(claims, DEVELOPMENT_SECRET * 2 if algorithm == "HS512" else "", algorithm=algorithm)
    assert world.get(ME, token=forged).refusal[:2] == (401, "INVALID_API_KEY")


def test_session_of_another_secret_is_refused(world: World, ada: Account) -> None:
    """A forged session is INVALID_API_KEY."""
    claims = jwt.decode(ada.session, options={"verify_signature": False})
    forged = jwt.encode(claims, "x" * 32, algorithm="HS256")
    assert world.get(ME, token=forged).refusal[:2] == (401, "INVALID_API_KEY")


def test_session_ends_after_seven_days(world: World, ada: Account) -> None:
    """Then it is EXPIRED_TOKEN, with WWW-Authenticate."""
    world.clock.at = NOON.replace(day=9, hour=11, minute=59, second=59)
    assert world.get(ME, token=ada.session).status == 200
    world.later(seconds=1)
    answer = world.get(ME, token=ada.session)
    assert answer.refusal[:2] == (401, "EXPIRED_TOKEN")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_credentials_are_checked_before_the_body(world: World) -> None:
    """A stranger's invalid body is 401."""
    assert world.post(CHANGE, json={"currentPassword": 7}).refusal[:2] == (401, "MISSING_API_KEY")


def test_public_routes_ignore_bad_credentials(world: World, ada: Account) -> None:
    """Sign-up and login succeed with garbage in header and cookie."""
    bad = {"token": "at_live_bad", "cookies": ["auth_token=garbage"]}
    assert world.post(SIGN_UP, json={"email": "x@example.org", "password": PASSWORD}, **bad).status == 201
    assert world.post(LOG_IN, json={"email": ada.email, "password": PASSWORD}, **bad).status == 200


def test_account_answers_contain_no_hash(world: World, ada: Account) -> None:
    """Neither hashes nor password fields leave the service."""
    for answer in (world.get(ME, token=ada.session), log_in(world, ada.email)):
        assert b"argon2" not in answer.body
        assert b"assword" not in answer.body


@pytest.mark.parametrize("rest", [False, True])
def test_account_routes_take_both_payloads(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    """Sign-up, login, account and logout work by payload 1.0 and 2.0."""
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
