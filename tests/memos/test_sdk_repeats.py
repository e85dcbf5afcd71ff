"""The answer to an SDK's repeat that arrives before the first call's memo is made."""

from collections.abc import Awaitable

import pytest

from shared.core.errors import FirstStillRunning, KeyRevoked
from shared.memos.idempotency import KeyedAnswer
from shared.memos.requests import Draft
from shared.memos.sdk_repeats import SdkMemos
from shared.speech.voices import VOICES
from shared.stores.port import Store
from shared.tables.issued_keys import IssuedKey
from shared.tables.speech_calls import SpeechCalls
from tests.support import IDS, FakeClock, a_key

pytestmark = pytest.mark.anyio


class _Busy:
    """Memos whose first request is still running."""

    async def make(self, *_: object, **__: object) -> KeyedAnswer:
        raise FirstStillRunning(retry_after_s=60)


class _Refusing:
    """Memos that raise the error of the key's check."""

    async def make(self, *_: object, check: Awaitable[IssuedKey] | None = None) -> KeyedAnswer:
        assert check is not None
        await check
        raise AssertionError("the check refuses")


@pytest.mark.parametrize("is_repeat", [False, True])
async def test_sdk_call_is_refused_by_the_check_of_its_key(store: Store, clock: FakeClock, *, is_repeat: bool) -> None:
    """A key that was valid at its last check and is revoked now makes no memo, and gets none."""

    async def check() -> IssuedKey:
        raise KeyRevoked

    memos = SdkMemos(_Refusing(), SpeechCalls(store), clock=clock, ids=IDS)  # type: ignore[arg-type] # it only refuses
    draft = Draft(text="Hello", voice=VOICES["adam"])
    with pytest.raises(KeyRevoked):
        await memos.make(a_key("ada"), draft, is_repeat=is_repeat, check=check())


@pytest.mark.parametrize("is_repeat", [False, True])
async def test_sdk_is_told_to_come_back_in_a_second(store: Store, clock: FakeClock, *, is_repeat: bool) -> None:
    """SDKs obey `Retry-After` up to a minute, but a quick text's memo exists within a second."""
    memos = SdkMemos(_Busy(), SpeechCalls(store), clock=clock, ids=IDS)  # type: ignore[arg-type] # it only refuses
    with pytest.raises(FirstStillRunning) as caught:
        await memos.make(a_key("ada"), Draft(text="Hello", voice=VOICES["adam"]), is_repeat=is_repeat)
    assert caught.value.headers == {"Retry-After": "1"}
