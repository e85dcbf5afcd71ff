"""The session's cookie through whole events: foreign origins, several cookies, logout, and unreasonable headers."""

import time
from collections.abc import Callable, Sequence

import pytest

from tests.events import HOST, rest_event
from tests.handlers.world import PASSWORD, PRODUCTION, PUBLIC_URL, Account, Answer, World

NewWorld = Callable[..., World]

ME = "/api/v1/auth/me"
LOG_IN = "/api/v1/auth/login"
LOG_OUT = "/api/v1/auth/logout"
SIGN_UP = "/api/v1/auth/signup"
CHANGE = "/api/v1/auth/change-password"
KEYS = "/api/keys"

FOREIGN = (
    "https://evil.example.org",
    "https://sibling.example.org",
    f"http://{HOST}",
    "null",
    f"https://{HOST}:444",
    "x",
)
OWN = (f"https://{HOST}", f"https://{HOST.upper()}", f"https://{HOST}:443", PUBLIC_URL)

foreign_origins = pytest.mark.parametrize("origin", FOREIGN)
both_kinds = pytest.mark.parametrize("rest", [False, True], ids=["payload 2.0", "payload 1.0"])


def cookie(account: Account) -> str:
    return f"auth_token={account.session}"


def me(world: World, *cookies: str, rest: bool = False) -> Answer:
    return world.get(ME, cookies=cookies, rest=rest)


def whose(answer: Answer) -> str:
    assert answer.status == 200, answer
    user_id: str = answer.json["user"]["id"]
    return user_id


class TestForeignOrigin:
    @foreign_origins
    @both_kinds
    def test_cookie_is_not_read_for_a_foreign_origin(
        self, world: World, ada: Account, origin: str, *, rest: bool
    ) -> None:
        """Another site acts for no user: no key is made, no password changed, no account shown."""
        for method, path, body in (
            ("POST", KEYS, {}),
            ("POST", CHANGE, {"currentPassword": PASSWORD, "newPassword": "another one"}),
            ("GET", ME, None),
            ("GET", "/api/v1/memos", None),
        ):
            answer = world.send(method, path, json=body, cookies=[cookie(ada)], headers={"origin": origin}, rest=rest)
            assert answer.refusal[:2] == (401, "MISSING_API_KEY")
        assert len(world.get(KEYS, token=ada.session).json["keys"]) == 1

    @foreign_origins
    @both_kinds
    def test_no_cookie_is_set_for_a_foreign_origin(
        self, world: World, ada: Account, origin: str, *, rest: bool
    ) -> None:
        """A form of another site starts and ends no session."""
        how = {"headers": {"origin": origin, "content-type": "text/plain"}, "rest": rest}
        credentials = {"email": ada.email, "password": PASSWORD}
        new = {"email": f"new{rest}@example.org", "password": PASSWORD}
        for path, body, status in ((LOG_IN, credentials, 200), (SIGN_UP, new, 201), (LOG_OUT, {}, 200)):
            answer = world.post(path, json=body, cookies=[cookie(ada)], **how)
            assert (answer.status, answer.cookies) == (status, ())
        assert whose(me(world, cookie(ada))) == ada.id

    @foreign_origins
    def test_authorization_counts_for_a_foreign_origin(self, world: World, ada: Account, origin: str) -> None:
        """A page of any origin may call with a token that it was given."""
        assert whose(world.get(ME, token=ada.session, headers={"origin": origin})) == ada.id
        assert world.get("/api/v1/memos", token=ada.key, headers={"origin": origin}).status == 200

    @pytest.mark.parametrize("origin", OWN)
    def test_own_origin_is_not_foreign(self, world: World, ada: Account, origin: str) -> None:
        """The API's own host and PUBLIC_URL are this service, in any spelling."""
        assert world.get(ME, cookies=[cookie(ada)], headers={"origin": origin}).status == 200
        credentials = {"email": ada.email, "password": PASSWORD}
        assert world.post(LOG_IN, json=credentials, headers={"origin": origin}).cookies != ()

    def test_configured_origin_is_not_foreign(self, new_world: NewWorld) -> None:
        """CORS_ORIGINS names pages that act for their visitors; default ports count as left out."""
        world = new_world({"CORS_ORIGINS": "https://app.example.org:443"})
        account = world.sign_up()
        for origin in ("https://app.example.org", "https://app.example.org:443"):
            assert world.get(ME, cookies=[cookie(account)], headers={"origin": origin}).status == 200

    def test_two_origins_are_foreign(self, world: World, ada: Account) -> None:
        """A request with two Origin headers is a foreign one."""
        event = rest_event("GET", ME, cookies=[cookie(ada)])
        event["multiValueHeaders"]["Origin"] = [f"https://{HOST}", "https://evil.example.org"]
        assert world.handle("users", event).status == 401


class TestSeveralCookies:
    @both_kinds
    @pytest.mark.parametrize("turned", [False, True])
    def test_the_good_session_counts(self, world: World, ada: Account, *, turned: bool, rest: bool) -> None:
        """A stale or forged cookie of a parent domain does not lock the user out, before the valid one or after it."""
        world.later(seconds=1)
        stale = world.post(LOG_IN, json={"email": ada.email, "password": PASSWORD}).json["token"]
        world.post(LOG_OUT, token=stale)
        cookies = [f"auth_token={stale}", "auth_token=garbage", cookie(ada)]
        assert whose(me(world, *(reversed(cookies) if turned else cookies), rest=rest)) == ada.id

    def test_two_good_sessions_are_refused(self, world: World, ada: Account, bob: Account) -> None:
        """One of the two may have been planted, so neither acts."""
        answer = me(world, cookie(ada), cookie(bob))
        assert answer.refusal[:2] == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert world.post(KEYS, json={}, cookies=[cookie(ada), cookie(bob)]).status == 401

    def test_one_session_twice_is_one(self, world: World, ada: Account) -> None:
        """The same token under two paths is no contradiction."""
        assert whose(me(world, cookie(ada), cookie(ada))) == ada.id

    def test_none_of_more_than_four_is_looked_at(self, world: World, ada: Account) -> None:
        """More than four session cookies are all ignored, so that one request cannot read many rows."""
        assert whose(me(world, *["auth_token=x"] * 3, cookie(ada))) == ada.id
        assert me(world, *["auth_token=x"] * 4, cookie(ada)).refusal[:2] == (401, "MISSING_API_KEY")

    @pytest.mark.parametrize("value", ["garbage", "at_live_" + "a" * 43])
    def test_cookie_that_is_no_session_is_told_so(self, world: World, value: str) -> None:
        """An API key in a cookie is no credential either."""
        assert me(world, f"auth_token={value}").refusal[:2] == (401, "INVALID_API_KEY")

    def test_api_key_is_not_read_from_a_cookie(self, world: World, ada: Account) -> None:
        """A valid key in a cookie is refused, on routes that take a session or either."""
        for path in (ME, "/api/v1/memos", "/api/v1/usage"):
            assert world.get(path, cookies=[f"auth_token={ada.key}"]).status == 401

    def test_ended_session_is_told_so(self, world: World, ada: Account) -> None:
        """For a single cookie the answer contains the reason."""
        world.post(LOG_OUT, token=ada.session)
        assert me(world, cookie(ada)).refusal[:2] == (401, "EXPIRED_TOKEN")

    def test_other_scheme_leaves_the_cookie(self, world: World, ada: Account) -> None:
        """Another scheme than Bearer is no credential at all."""
        basic = {"authorization": "Basic dTpw"}
        assert world.get(ME, headers=basic).refusal[:2] == (401, "MISSING_API_KEY")
        assert world.get(ME, headers=basic, cookies=[cookie(ada)]).status == 200

    @pytest.mark.parametrize("values", [["theme=dark", "{}"], ["{}", "theme=dark"], ["a=1; b=2", "{}; c=3"]])
    def test_rest_cookie_headers_are_joined(self, world: World, ada: Account, values: Sequence[str]) -> None:
        """A REST API lists split Cookie headers: each is read."""
        event = rest_event("GET", ME)
        event["multiValueHeaders"]["Cookie"] = [value.format(cookie(ada)) for value in values]
        assert world.handle("users", event).status == 200


class TestHostCookie:
    @pytest.fixture
    def world(self, new_world: NewWorld) -> World:
        return new_world(PRODUCTION)

    def test_production_sets_both_cookies(self, world: World) -> None:
        """`__Host-` demands Secure, Path=/ and no Domain; browsers drop it otherwise."""
        answer = world.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD})
        token = answer.json["token"]
        assert {each.partition(";")[0] for each in answer.cookies} == {
            f"auth_token={token}",
            f"__Host-auth_token={token}",
        }
        for each in answer.cookies:
            attributes = {attribute.lower() for attribute in each.split("; ")[1:]}
            assert attributes == {"httponly", "max-age=604800", "path=/", "samesite=lax", "secure"}

    @both_kinds
    def test_host_cookie_wins(self, world: World, ada: Account, bob: Account, *, rest: bool) -> None:
        """A planted `auth_token` does not replace the session of `__Host-auth_token`."""
        assert whose(me(world, cookie(bob), f"__Host-auth_token={ada.session}", rest=rest)) == ada.id

    def test_cookie_may_be_quoted(self, world: World, ada: Account) -> None:
        """RFC 6265 lets a client send the value in quotes."""
        assert whose(me(world, f'auth_token="{ada.session}"')) == ada.id

    def test_plain_cookie_serves_alone(self, world: World, ada: Account) -> None:
        """A client that sends `auth_token` alone is logged in."""
        assert whose(me(world, cookie(ada))) == ada.id

    def test_development_sets_no_host_cookie(self, new_world: NewWorld) -> None:
        """On http:// browsers refuse it."""
        answer = new_world().post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD})
        assert [each.partition("=")[0] for each in answer.cookies] == ["auth_token"]

    @both_kinds
    def test_log_out_ends_header_and_cookies(self, world: World, ada: Account, bob: Account, *, rest: bool) -> None:
        """The sessions of the header and of both cookies end, the one that does not count too, and both are cleared."""
        eve = world.sign_up("eve@example.org")
        answer = world.post(
            LOG_OUT, token=ada.session, cookies=[f"__Host-auth_token={bob.session}", cookie(eve)], rest=rest
        )
        assert {each.partition("=")[0] for each in answer.cookies} == {"auth_token", "__Host-auth_token"}
        assert all("max-age=0" in each.lower() for each in answer.cookies)
        for ended in (ada, bob, eve):
            assert world.get(ME, token=ended.session).refusal[:2] == (401, "EXPIRED_TOKEN")


UNREASONABLE = ('x="' + '\\"' * 20_000, "auth_token=" + "a" * 60_000, ";" * 60_000, "=;" * 30_000)


@pytest.mark.parametrize("value", UNREASONABLE, ids=["quotes", "long", "semicolons", "pairs"])
@pytest.mark.parametrize("path", ["/api/v1/voices", ME, "/health", LOG_OUT])
def test_long_cookie_costs_milliseconds(world: World, path: str, value: str) -> None:
    """No parser works on an unbounded Cookie header: on Python 3.11.7 the first took ten seconds."""
    world.get(path)
    began = time.process_time()
    answer = world.send("POST" if path == LOG_OUT else "GET", path, cookies=[value])
    assert time.process_time() - began < 0.25
    assert answer.status in (200, 401)


READ_HEADERS = (
    *("authorization", "origin", "cookie", "host", "accept", "content-type", "range", "if-range", "if-none-match"),
    *("traceparent", "tracestate", "x-request-id", "access-control-request-headers"),
)


@pytest.mark.parametrize("name", READ_HEADERS)
@pytest.mark.parametrize("unit", ["a", '\\"', ",", "; ", "Bearer ", "bytes=0-1,", "00-", '"a", '])
def test_long_header_costs_milliseconds(world: World, name: str, unit: str) -> None:
    """A header with 60,000 bytes of any repetition is refused or ignored within milliseconds."""
    world.get("/audio/simulated-10.mp3")
    began = time.process_time()
    for method, path in (("GET", "/audio/simulated-10.mp3"), ("POST", LOG_IN), ("OPTIONS", ME)):
        answer = world.send(method, path, headers={name: unit * (60_000 // len(unit))})
        assert answer.status < 500
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("path", "field"), [(SIGN_UP, "email"), (SIGN_UP, "password"), (LOG_IN, "email"), (LOG_IN, "password")]
)
def test_long_combining_text_costs_milliseconds(world: World, path: str, field: str) -> None:
    """Composing a run of combining characters takes the square of its length: 40,000 took six seconds."""
    body = {"email": "ada@example.org", "password": PASSWORD, field: "a" + "\u0315\u0300" * 40_000}
    world.post(path, json={})
    began = time.process_time()
    answer = world.post(path, json=body)
    assert time.process_time() - began < 0.5
    assert answer.status in (400, 401)
