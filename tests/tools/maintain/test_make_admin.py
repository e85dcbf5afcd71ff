"""The command that makes the first admin."""

import asyncio
from pathlib import Path

import pytest

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.opening import open_store
from shared.tables import LogKind, Window
from shared.tables.users import Role
from tests.fakes.mails import CaughtMails
from tests.support import EMAIL, NOON, FakeClock, cheap_passwords, signed_up
from tools.maintain.__main__ import main


def services_on_file(environ: dict[str, str], clock: FakeClock) -> Services:
    settings = Settings.from_env(environ)
    store = open_store(settings).store
    return Services.on(store, settings, passwords=cheap_passwords(), clock=clock, mailer=CaughtMails())


def test_make_admin_gives_the_role_and_records_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The owner's log names an operator. A repeat changes nothing, and an unknown address is refused."""
    environ, clock = {"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json")}, FakeClock(NOON)
    services = services_on_file(environ, clock)
    ada = asyncio.run(signed_up(services))
    for told in ("is an admin now", "is an admin already"):
        assert main(["make-admin", f" {EMAIL.upper()}"], environ=environ, clock=clock) == 0
        assert told in capsys.readouterr().out

    async def seen() -> tuple[Role, list[tuple[str, object]]]:
        tables = services_on_file(environ, clock).tables
        user = await tables.users.load(ada.user.id)
        page = await tables.usage_logs.rows(user.id, LogKind.EVENTS, Window())
        logs = [(row.document["action"], row.document["metadata"]) for row in page.rows]
        return user.role, [log for log in logs if log[0] == "admin_changed"]

    changed = ("admin_changed", {"from": "user", "to": "admin", "by": "operator"})
    assert asyncio.run(seen()) == (Role.ADMIN, [changed])
    assert main(["make-admin", "nobody@example.org"], environ=environ, clock=clock) == 2
    assert "there is no account nobody@example.org" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["zoë@exämple.org", "Zoe\u0308@xn--exmple-cua.org"])
def test_make_admin_takes_any_spelling_of_an_address(
    typed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address is found as a login finds it: in NFC, with its domain in the `xn--` form."""
    environ, clock = {"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json")}, FakeClock(NOON)
    asyncio.run(signed_up(services_on_file(environ, clock), "zoë@xn--exmple-cua.org"))
    assert main(["make-admin", typed], environ=environ, clock=clock) == 0
    assert "zoë@xn--exmple-cua.org is an admin now" in capsys.readouterr().out
