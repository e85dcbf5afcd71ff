from datetime import timedelta
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher

from shared.accounts.passwords import Passwords
from shared.accounts.sessions import SESSION_LIFE, Sessions
from shared.api_keys.minting import digest, is_api_key, mint_api_key, same_digest
from shared.core.derived import Use, derived_key
from shared.core.errors import InvalidCredential, SessionExpired
from shared.tables.issued_keys import LIVE_PREFIX, TEST_PREFIX
from shared.tables.users import User
from tests.support import NOON, SECRET, FakeClock, a_user, cheap_passwords


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(SECRET, clock)


@pytest.fixture
def user() -> User:
    return a_user()


@pytest.mark.parametrize(("test", "prefix"), [(False, LIVE_PREFIX), (True, TEST_PREFIX)])
def test_a_minted_key_has_its_prefix_and_the_form_of_a_key(*, test: bool, prefix: str) -> None:
    key = mint_api_key(test=test)
    assert key.startswith(prefix)
    assert len(key) == len(prefix) + 43
    assert is_api_key(key)


def test_three_of_four_random_strings_are_no_keys() -> None:
    """The last of 43 characters holds 4 bits of 32 bytes, so one in four random ones can end a key."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert sum(is_api_key(f"at_live_{'a' * 42}{last}") for last in alphabet) == len(alphabet) / 4
    assert all(is_api_key(mint_api_key(test=False)) for _ in range(200))


def test_minted_keys_differ() -> None:
    assert len({mint_api_key(test=False) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "at_live_",
        "at_live_" + "a" * 42,
        "at_live_" + "a" * 44,
        "at_prod_" + "a" * 43,
        "AT_LIVE_" + "a" * 43,
        " at_live_" + "a" * 43,
        "at_live_" + "a" * 43 + "\n",
        "at_live_" + "é" * 43,
        "at_live_" + "a" * 43,
        "at_test_" + "a" * 42 + "B",
        "at_live_" + "a" * 42 + "-",
        "at_live_" + "=" * 43,
    ],
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    assert not is_api_key(text)


def test_a_digest_is_sha_256_in_hexadecimal() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert same_digest(digest("abc"), digest("abc"))
    assert not same_digest(digest("abc"), digest("abd"))


class _CountingHasher(PasswordHasher):
    """Counts verified hashes, and those of valid form among them: only these cost the work."""

    verified = 0
    compared = 0

    def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 its name in argon2
        self.verified += 1
        self.compared += str(hash).startswith("$argon2id$")
        return super().verify(hash, password)


@pytest.mark.anyio
class TestPasswords:
    @pytest.mark.parametrize("password", ["correct horse", "", "pässwörd 👩", "x" * 128, "\x00"])
    async def test_a_password_fits_its_hash_and_no_other_does(self, password: str) -> None:
        passwords = cheap_passwords()
        password_hash = await passwords.hash(password)
        assert await passwords.verify(password_hash, password)
        assert not await passwords.verify(password_hash, password + "x")

    async def test_hash_is_salted_argon2id_without_the_password(self) -> None:
        passwords = cheap_passwords()
        one, other = await passwords.hash("canary"), await passwords.hash("canary")
        assert one != other
        assert one.startswith("$argon2id$")
        assert "canary" not in one

    async def test_an_unknown_account_costs_the_same_work_and_fits_nothing(self) -> None:
        hasher = _CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
        passwords = Passwords(hasher)
        known = await passwords.hash("right")
        assert not await passwords.verify(None, "wrong")
        assert hasher.verified == 1
        assert not await passwords.verify(known, "wrong")
        assert hasher.verified == 2

    async def test_an_unknown_account_fits_not_even_the_empty_password(self) -> None:
        assert not await cheap_passwords().verify(None, "")

    @pytest.mark.parametrize("broken", ["", "not a hash", "$2b$12$bcrypt"])
    async def test_a_broken_hash_fits_nothing(self, broken: str) -> None:
        assert not await cheap_passwords().verify(broken, "password")

    async def test_broken_hash_costs_as_much_as_an_unknown_account(self) -> None:
        """The answer's time does not reveal an account with a broken hash: the dummy's hash is checked instead."""
        hasher = _CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
        assert not await Passwords(hasher).verify("not a hash", "password")
        assert hasher.compared == 1


class TestSessions:
    def test_a_session_says_whose_it_is_and_lives_7_days(self, sessions: Sessions, user: User) -> None:
        session = sessions.begin(user)
        claims = sessions.read(session.token)
        assert (claims.user_id, claims.version) == (user.id, user.session_version)
        assert claims.expires_at == session.expires_at == NOON + SESSION_LIFE

    @pytest.mark.parametrize("year", [1999, 2999])
    def test_sessions_live_by_the_services_clock(self, year: int) -> None:
        """The service's clock decides about expiry, since HYPR Micro's time may differ from the machine's."""
        sessions = Sessions(SECRET, FakeClock(NOON.replace(year=year)))
        user = a_user()
        assert sessions.read(sessions.begin(user).token).user_id == user.id

    @pytest.mark.parametrize(
        "claims",
        [
            {"ver": True},
            {"ver": "1"},
            {"ver": 1.0},
            {"sub": 1},
            {"sid": 1},
            {"exp": "soon"},
            {"exp": 1e30},
            {"exp": None},
        ],
    )
    def test_claims_of_another_type_are_no_session(
        self, sessions: Sessions, user: User, claims: dict[str, object]
    ) -> None:
        """Claims of a wrong type are refused even if the right key has signed them."""
        good = {"sub": user.id, "sid": "s", "ver": 1, "exp": int((NOON + SESSION_LIFE).timestamp())}
        key = derived_key(SECRET, Use.SESSIONS)
        assert sessions.read(jwt.encode(good, key, algorithm="HS256")).version == 1
        with pytest.raises(InvalidCredential):
            sessions.read(jwt.encode(good | claims, key, algorithm="HS256"))

    def test_two_sessions_have_ids_of_their_own(self, sessions: Sessions, user: User) -> None:
        ids = {sessions.read(sessions.begin(user).token).session_id for _ in range(2)}
        assert len(ids) == 2

    def test_a_session_ends_at_its_end(self, sessions: Sessions, clock: FakeClock, user: User) -> None:
        token = sessions.begin(user).token
        clock.advance(SESSION_LIFE - timedelta(milliseconds=1))
        assert sessions.read(token).user_id == user.id
        clock.advance(timedelta(milliseconds=1))
        with pytest.raises(SessionExpired):
            sessions.read(token)

    def test_the_token_is_in_no_repr(self, sessions: Sessions, user: User) -> None:
        session = sessions.begin(user)
        assert session.token not in repr(session)

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "\ud800", "at_live_" + "a" * 43, "." * 5000])
    def test_what_is_no_token_is_refused(self, sessions: Sessions, token: str) -> None:
        with pytest.raises(InvalidCredential):
            sessions.read(token)

    def test_a_token_of_another_secret_is_refused(self, clock: FakeClock, sessions: Sessions, user: User) -> None:
        with pytest.raises(InvalidCredential):
            sessions.read(Sessions("another secret of tests, also long", clock).begin(user).token)

    def test_a_token_with_any_part_changed_is_refused(self, sessions: Sessions, user: User) -> None:
        parts = sessions.begin(user).token.split(".")
        for changed in range(3):
            tampered = [part[:5] + ("A" if part[5] != "A" else "B") + part[6:] for part in parts]
            token = ".".join(tampered[n] if n == changed else parts[n] for n in range(3))
            with pytest.raises(InvalidCredential):
                sessions.read(token)

    def test_an_unsigned_token_is_refused(self, sessions: Sessions, user: User) -> None:
        claims = {"sub": user.id, "sid": "s", "ver": 1, "exp": 4_000_000_000}
        with pytest.raises(InvalidCredential):
            sessions.read(jwt.encode(claims, "", algorithm="none"))

    @pytest.mark.parametrize("missing", ["sub", "sid", "ver", "exp"])
    def test_a_token_without_a_claim_is_refused(self, sessions: Sessions, user: User, missing: str) -> None:
        claims = {"sub": user.id, "sid": "s", "ver": 1, "exp": 4_000_000_000}
        del claims[missing]
        with pytest.raises(InvalidCredential):
            sessions.read(jwt.encode(claims, derived_key(SECRET, Use.SESSIONS), algorithm="HS256"))
