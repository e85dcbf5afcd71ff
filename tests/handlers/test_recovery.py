"""Links in mails, through the functions: confirmed addresses, forgotten passwords, and wrong tokens."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from shared.tables import Users
from shared.tables.users import User
from tests.handlers.world import PASSWORD, Account, Answer, Logs, World

NewWorld = Callable[..., World]

NEW: Final = "another battery staple"
BAD_RESET: Final = (400, "VALIDATION_ERROR", "Invalid or expired reset token")
BAD_VERIFICATION: Final = (400, "VALIDATION_ERROR", "Invalid verification token")
RESET: Final = "/api/v1/auth/reset-password"


def forgot(world: World, email: str, source_ip: str = "203.0.113.7") -> Answer:
    return world.post("/api/v1/auth/forgot-password", json={"email": email}, source_ip=source_ip)


def reset(world: World, token: str, password: str = NEW) -> Answer:
    return world.post(RESET, json={"token": token, "newPassword": password})


def verify(world: World, token: str) -> Answer:
    return world.post("/api/v1/auth/verify-email", json={"token": token})


def reset_token(world: World, account: Account) -> str:
    assert forgot(world, account.email).status == 200
    return world.mails.token(account.email, "reset")


def log_in(world: World, account: Account, password: str = PASSWORD) -> int:
    return world.post("/api/v1/auth/login", json={"email": account.email, "password": password}).status


def user_of(world: World, account: Account) -> User:
    return world.run(Users(world.store).load(account.id))


def test_sign_up_mails_a_link_that_confirms(world: World, ada: Account) -> None:
    """The link works once, and the user is then confirmed."""
    assert not user_of(world, ada).email_verified
    token = world.mails.token(ada.email, "verify")
    assert f"https://api.example.org/app#verify={token}" in world.mails.mails[-1].text
    assert verify(world, token).json == {"success": True, "message": "E-mail address confirmed"}
    assert world.get("/api/v1/auth/me", token=ada.session).json["user"]["emailVerified"] is True
    assert verify(world, token).refusal == BAD_VERIFICATION


def test_forgotten_password_is_replaced_by_a_link(world: World, ada: Account) -> None:
    """The mail's token sets a new password, ends every session, and confirms the address; a notice follows."""
    token = reset_token(world, ada)
    assert reset(world, token).status == 200
    assert (log_in(world, ada), log_in(world, ada, NEW)) == (401, 200)
    assert world.get("/api/v1/auth/me", token=ada.session).error["code"] == "EXPIRED_TOKEN"
    assert user_of(world, ada).email_verified
    assert len(world.mails.to(ada.email, "changed")) == 1


def test_reset_link_works_once(world: World, ada: Account) -> None:
    token = reset_token(world, ada)
    assert reset(world, token).status == 200
    assert reset(world, token, "a third password").refusal == BAD_RESET
    assert log_in(world, ada, NEW) == 200


def test_reset_ends_the_links_before_it(world: World, ada: Account) -> None:
    """A reset voids all links that were mailed before, for a reset and for the address."""
    first, second = reset_token(world, ada), reset_token(world, ada)
    assert reset(world, second).status == 200
    assert reset(world, first).refusal == BAD_RESET
    assert verify(world, world.mails.token(ada.email, "verify")).refusal == BAD_VERIFICATION


def test_changed_password_ends_reset_links(world: World, ada: Account) -> None:
    token = reset_token(world, ada)
    change = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert world.post("/api/v1/auth/change-password", token=ada.session, json=change).status == 200
    assert len(world.mails.to(ada.email, "changed")) == 1
    assert reset(world, token).refusal == BAD_RESET


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (61, 400)])
def test_reset_link_lives_an_hour(world: World, ada: Account, minutes: int, status: int) -> None:
    token = reset_token(world, ada)
    world.later(minutes=minutes)
    assert reset(world, token).status == status


@pytest.mark.parametrize(("hours", "status"), [(23, 200), (25, 400)])
def test_verification_link_lives_a_day(world: World, ada: Account, hours: int, status: int) -> None:
    world.later(hours=hours)
    assert verify(world, world.mails.token(ada.email, "verify")).status == status


def test_tokens_of_one_purpose_are_none_of_another(world: World, ada: Account, bob: Account) -> None:
    """A token is for one purpose and one user. A session is no link's token, and a link's token no session."""
    verification, resetting = world.mails.token(ada.email, "verify"), reset_token(world, ada)
    assert reset(world, verification).refusal == BAD_RESET
    assert verify(world, resetting).refusal == BAD_VERIFICATION
    assert reset(world, ada.session).refusal == BAD_RESET
    assert verify(world, ada.session).refusal == BAD_VERIFICATION
    assert reset(world, resetting.replace(ada.id, bob.id)).refusal == BAD_RESET
    for token in (verification, resetting):
        assert world.get("/api/v1/auth/me", token=token).error["code"] == "INVALID_API_KEY"
    assert (log_in(world, ada), log_in(world, bob)) == (200, 200)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "x",
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token.replace(".", ".9", 1),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "." + token.partition(".")[2],
        lambda token: "../" + token,
        lambda token: token.replace(".", ".٣", 1),
        lambda token: token[:-1] + "é",
        lambda token: token * 1000,
    ],
    ids=range(10),
)
def test_bad_token_costs_no_hash(world: World, ada: Account, spoil: Callable[[str], str]) -> None:
    """A forged token is refused like a used one, and takes no processor's time."""
    token = spoil(reset_token(world, ada))
    before = len(world.hasher.hashes)
    assert reset(world, token).refusal == BAD_RESET
    assert verify(world, token).refusal == BAD_VERIFICATION
    assert len(world.hasher.hashes) == before


def test_reset_bounds_the_new_password(world: World, ada: Account) -> None:
    """A refused new password leaves the token valid."""
    token = reset_token(world, ada)
    assert reset(world, token, "short").error["details"] == {"field": "newPassword"}
    assert reset(world, token).status == 200


def test_forgot_answers_alike_when_unknown(world: World, ada: Account) -> None:
    """The same bytes, after the same wait; only the known address gets a mail."""
    known, unknown = forgot(world, ada.email), forgot(world, "nobody@example.org")
    assert (known.status, known.body) == (unknown.status, unknown.body) == (200, known.body)
    assert world.slept == pytest.approx([2, 2], abs=0.5)
    assert [mail.to for mail in world.mails.mails if mail.kind == "reset"] == [ada.email]


def test_forgot_normalises_the_address(world: World, ada: Account) -> None:
    assert forgot(world, "  ADA@Example.org ").status == 200
    assert world.mails.to(ada.email, "reset")


def test_forgot_refuses_what_is_no_address(world: World) -> None:
    assert forgot(world, "ada@example.org, eve@example.org").error["details"] == {"field": "email"}
    assert world.slept == []


@pytest.mark.parametrize("email", ["ada@example.org", "nobody@example.org"])
def test_forgot_is_429_after_three_for_an_account(world: World, ada: Account, email: str) -> None:
    """This holds for any client addresses, and whether or not the account exists."""
    assert ada.email == "ada@example.org"
    assert [forgot(world, email, f"198.51.100.{n}").status for n in range(4)] == [200, 200, 200, 429]
    world.later(hours=1)
    assert forgot(world, email).status == 200


def test_forgot_is_429_after_twenty_from_an_address(world: World) -> None:
    statuses = [forgot(world, f"user{n}@example.org").status for n in range(21)]
    assert statuses == [200] * 20 + [429]
    assert forgot(world, "user@example.org", "198.51.100.9").status == 200


def test_mailer_that_is_down_fails_no_request(new_world: NewWorld, logs: Logs) -> None:
    """Sign-up, forgot-password and a changed password answer as usual, and the log names each unsent mail."""
    world = new_world({"METRICS": "1"})
    world.mails.is_down = True
    ada = world.sign_up("ada@example.org")
    known, unknown = forgot(world, ada.email), forgot(world, "nobody@example.org")
    assert (known.status, known.body) == (200, unknown.body)
    change = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert world.post("/api/v1/auth/change-password", token=ada.session, json=change).status == 200
    failed = [line for line in logs.lines if "a mail was not sent" in line["message"]]
    assert [line["kind"] for line in failed] == ["verify", "reset", "changed"]
    assert ada.email not in logs.text


def test_resend_repeats_the_mail(world: World, ada: Account) -> None:
    """The mail is sent three times an hour, and not once the address is confirmed."""
    path = "/api/v1/auth/resend-verification"
    assert [world.post(path, token=ada.session).status for _ in range(4)] == [200, 200, 200, 429]
    assert len(world.mails.to(ada.email, "verify")) == 4
    assert verify(world, world.mails.token(ada.email, "verify")).status == 200
    assert world.post(path, token=ada.session).json["message"] == "The e-mail address is confirmed already"
    assert len(world.mails.to(ada.email, "verify")) == 4


def test_reset_revokes_keys_of_an_unconfirmed_account(world: World, ada: Account) -> None:
    """Another person may have signed up with the address and made the keys: answer and mail contain their number."""
    world.new_key(ada, test=True)
    message = reset(world, reset_token(world, ada)).json["message"]
    assert "so 2 API keys were revoked" in message
    assert "2 API keys were revoked" in world.mails.to(ada.email, "changed")[0].text
    assert world.get("/api/v1/memos", token=ada.key).error["code"] == "REVOKED_KEY"
    session = account_session(world, ada)
    actions = [log["action"] for log in world.get("/api/v1/usage", token=session).json["logs"]]
    assert actions.count("key_revoked") == 2
    assert "password_changed" in actions
    assert user_of(world, ada).keys_distrusted_until is None


def account_session(world: World, account: Account) -> str:
    answer = world.post("/api/v1/auth/login", json={"email": account.email, "password": NEW})
    return str(answer.json["token"])


@pytest.mark.parametrize("reason", ["confirmed", "moved in"])
def test_reset_leaves_keys_of_a_proven_account(world: World, ada: Account, reason: str) -> None:
    """Keys stay if the address was confirmed before, or if the account moved in with its keys."""
    if reason == "confirmed":
        assert verify(world, world.mails.token(ada.email, "verify")).status == 200
    else:
        moved = {"moved_in": True}
        world.run(Users(world.store).change(ada.id, lambda user: user.model_copy(update=moved)))
    assert reset(world, reset_token(world, ada)).json["message"] == "Password reset. Log in with the new one"
    assert world.get("/api/v1/memos", token=ada.key).status == 200


def test_login_finishes_a_reset_that_broke_off(world: World, ada: Account) -> None:
    """Keys that a reset distrusts are revoked by the next login, if the reset itself could not; later ones are not."""
    assert reset(world, reset_token(world, ada)).status == 200
    _, kept_back = world.new_key(account_of_session(ada, account_session(world, ada)))
    at = world.clock()
    world.run(Users(world.store).change(ada.id, lambda user: user.model_copy(update={"keys_distrusted_until": at})))
    assert world.get("/api/v1/memos", token=kept_back).status == 200
    session = account_session(world, ada)
    assert world.get("/api/v1/memos", token=kept_back).error["code"] == "REVOKED_KEY"
    _, later = world.new_key(account_of_session(ada, session))
    account_session(world, ada)
    assert world.get("/api/v1/memos", token=later).status == 200


def account_of_session(account: Account, session: str) -> Account:
    return replace(account, session=session)


@pytest.mark.parametrize("seed", range(5))
def test_two_resets_at_once_are_one(new_world: NewWorld, seed: int) -> None:
    """One is 200, the other 400, and the password is the first one's."""
    world = new_world(seed=seed)
    ada = world.sign_up("ada@example.org")
    token = reset_token(world, ada)

    async def both() -> list[int]:
        async with world.http("users") as client:
            bodies = [{"token": token, "newPassword": f"{NEW} {n}"} for n in range(2)]
            answers = await asyncio.gather(*(client.post(RESET, json=body) for body in bodies))
        return [answer.status_code for answer in answers]

    statuses = world.run(both())
    assert sorted(statuses) == [200, 400]
    assert log_in(world, ada, f"{NEW} {statuses.index(200)}") == 200
    assert log_in(world, ada, f"{NEW} {statuses.index(400)}") == 401


def test_another_secret_ends_links_alone(new_world: NewWorld) -> None:
    """Links are void under another SESSION_SECRET. Passwords and API keys stay valid."""
    world = new_world({"SESSION_SECRET": "the first secret, which is long enough"})
    ada = world.sign_up("ada@example.org")
    token = reset_token(world, ada)
    world.change_secret("the second secret, which is long enough")
    assert reset(world, token).refusal == BAD_RESET
    assert log_in(world, ada) == 200
    assert world.get("/api/v1/memos", token=ada.key).status == 200
    assert reset(world, reset_token(world, ada)).status == 200


def test_tokens_are_in_no_log(world: World, logs: Logs, ada: Account) -> None:
    """Logs contain neither the token nor the e-mail address, whatever the token's result."""
    token, verification = reset_token(world, ada), world.mails.token(ada.email, "verify")
    verify(world, verification)
    reset(world, token)
    reset(world, token)
    for secret in (token.rpartition(".")[2], verification.rpartition(".")[2], ada.email):
        assert secret not in logs.text


def test_forgot_writes_nothing_but_its_attempt(world: World, ada: Account) -> None:
    before = user_of(world, ada)
    reset_token(world, ada)
    assert user_of(world, ada) == before


def test_sign_up_again_does_not_verify(world: World, ada: Account) -> None:
    """A second sign-up for the address is 409 and mails nothing."""
    taken = world.post("/api/v1/auth/signup", json={"email": ada.email, "password": PASSWORD})
    assert taken.status == 409
    assert len(world.mails.mails) == 1
