"""Many users with keys and memos, written as the service writes them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from shared.api_keys.api_keys import NewKey, new_key
from shared.core.clock import iso, utc_now
from shared.core.ids import Ids
from shared.core.settings import Settings
from shared.plans import Tier
from shared.services import Services
from shared.stores.port import Key, Store
from shared.tables import (
    API_KEYS,
    KEY_RINGS,
    TABLES,
    ApiKeys,
    Memos,
    UsageLogs,
    Users,
    uses_counter,
)
from shared.tables.memos import Memo
from shared.tables.usage_logs import Action, UsageLog
from shared.tables.users import Role, User
from tests.fakes.mails import CaughtMails
from tests.support import cheap_passwords
from tools.local import local_gateway

AT_ONCE: Final = 16
UNLIMITED: Final = {"SIGNUPS_PER_ADDRESS": "1000000", "LOG_LEVEL": "ERROR"}


@dataclass(frozen=True, kw_only=True)
class Owner:
    user: User
    secrets: list[str] = field(repr=False)


async def fill(store: Store, *, users: int, keys: int, memos: int, told: Callable[[str], Any] = print) -> list[Owner]:
    """Write users with equal numbers of keys and memos; a user's keys take turns in making memos.

    All rows have their logs, counters and claims; the first key of each user has a last use.
    """
    await store.verify(TABLES)
    began, filled, turns = time.monotonic(), list[Owner](), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turns:
            filled.append(await _owner(store, number, keys=keys, memos=memos))
            if len(filled) % 100 == 0:
                told(f"  {len(filled)} of {users} users after {time.monotonic() - began:.0f} s")

    await asyncio.gather(*(one(number) for number in range(users)))
    return filled


async def _owner(store: Store, number: int, *, keys: int, memos: int) -> Owner:
    now, ids = utc_now(), Ids()
    user, issued = await open_account(store, number, keys=keys, at=now)
    for made in range(memos):
        at = now - timedelta(seconds=memos - made)
        await keep_memo(store, ids.mint(at), issued[made % keys], at)
    await store.increment(f"{user.id}:calls:{now:%Y-%m-%d}", memos)
    await store.increment(f"{user.id}:calls:{now:%Y-%m}", memos)
    await ApiKeys(store).mark_used(user.id, issued[0].key.id, now.replace(second=0, microsecond=0))
    return Owner(user=user, secrets=[each.secret for each in issued])


async def open_account(store: Store, number: int, *, keys: int, at: datetime) -> tuple[User, list[NewKey]]:
    user = User(
        id=Ids().mint(at),
        email=f"{number}@example.org",
        password_hash="",
        tier=Tier.ENTERPRISE,
        role=Role.USER,
        email_verified=True,
        session_version=1,
        created_at=at,
        updated_at=at,
    )
    issued = [new_key(user.id, name=f"Key {each}", at=at) for each in range(keys)]
    ring = [each.key.document() | {"updated_at": iso(at)} for each in issued]
    await Users(store).add(user)
    await store.add(KEY_RINGS, Key(user.id), {"keys": ring})
    for each in issued:
        await store.add(API_KEYS, Key(each.key.id), each.key.document())
    await Users(store).claim_email(user)
    await Users(store).counted(user)
    return user, issued


async def keep_memo(store: Store, memo_id: str, made_with: NewKey, at: datetime, *, voice: str = "rachel") -> UsageLog:
    """Write a memo, its log and its key's use. Returns the log."""
    key = made_with.key
    text = f"{memo_id}: the build is green, and the release notes are ready to read."
    memo = Memo(
        id=memo_id,
        user_id=key.user_id,
        text=text,
        audio_url="/audio/simulated-60.mp3",
        duration_seconds=6.0,
        voice=voice,
        character_count=len(text),
        title=None,
        created_at=at,
    )
    log = UsageLog(
        id=memo_id,
        user_id=key.user_id,
        api_key_id=key.id,
        api_key_name=key.name,
        api_key_prefix=key.prefix,
        action=Action.MEMO_CREATED,
        metadata={"memoId": memo_id, "voice": voice, "characters": len(text), "audioSeconds": 6.0, "test": False},
        created_at=at,
    )
    await Memos(store).add(memo)
    await UsageLogs(store).add(log)
    await store.increment(uses_counter(key))
    return log


@asynccontextmanager
async def api_on(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of all functions on that store, warm, in this process.

    Passwords are hashed cheaply and mails are kept, so that neither is measured or printed.
    """

    def build(settings: Settings) -> Services:
        return Services.on(store, settings, passwords=cheap_passwords(), mailer=CaughtMails())

    transport = httpx.ASGITransport(local_gateway(UNLIMITED, build))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for path in ("/health", "/api/v1/voices", "/api/v1/usage", "/api/keys", "/api/v1/auth/me"):
            await http.get(path)
        yield http
