"""Kill a gateway by SIGKILL during long memos: the next start continues, and no piece is bought twice needlessly."""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from shared.audio.mp3 import read_mp3
from shared.jobs.process import AT_ONCE as MEMOS_AT_ONCE
from shared.speech.piecewise import AT_ONCE as PIECES_AT_ONCE
from shared.speech.voice_map import OPENAI
from tests.fakes.speech_provider import KEY, FakeProvider, OpenAiDialect, aloud
from tests.live.people import Front, Person, sign_up, somebody
from tests.live.processes import Process, gateway_in, micro_environ, micro_server

KILLS: Final = 5
MEMOS: Final = 6
PIECES: Final = 5
READY_S: Final = 180.0
"""The most seconds until a memo is ready: a dead worker's leases end after a minute."""

SENTENCE: Final = "The book is on the table near the window, and the lamp is on the floor. "
"""The provider speaks it twelve times for any piece, which is about the length of a piece."""


def text_of(memo: int, kill: int) -> str:
    """Return a text of PIECES pieces, with no sentence twice."""
    lines = range(10, 10 + 15 * PIECES)
    return " ".join(f"Line {line} of memo {memo} and kill {kill} is about the book on the big table." for line in lines)


async def run(checkout: Path) -> None:
    spoken = aloud(SENTENCE * 12, "rachel")
    provider = FakeProvider(OpenAiDialect(), voices=list(OPENAI.values()), say=lambda _, __: spoken)
    with micro_server(checkout) as server, tempfile.TemporaryDirectory() as folder:
        async with provider.serving() as url:
            await server.start()
            speaking = {
                "SPEECH": "openai",
                "OPENAI_API_KEY": KEY,
                "OPENAI_BASE_URL": f"{url}/v1",
                "AUDIO": "folder",
                "AUDIO_DIR": folder,
            }
            with gateway_in(micro_environ(server.url) | speaking) as gateway:
                for kill in range(KILLS):
                    print(f"  kill {kill + 1}: {await _killed(gateway, provider, kill)}", flush=True)


async def _killed(gateway: Process, provider: FakeProvider, kill: int) -> str:
    """Kill a gateway once some pieces were bought, start it again, and wait for all memos."""
    before = len(provider.billed)
    await gateway.start()
    front = Front(gateway.url)
    person = somebody()
    assert (await sign_up(front, person)).status == 201
    provider.hold.clear()  # from now on pieces are bought, and not answered until the gateway is dead
    replies = [
        await front.send(
            "POST", "/api/v1/memo", token=person.key, json={"text": text_of(memo, kill), "voice": "rachel"}
        )
        for memo in range(MEMOS)
    ]
    assert [reply.status for reply in replies] == [201] * MEMOS, replies
    for _ in range(kill):  # one more piece is stored before each kill
        await provider.until_billed(before + 1)
        provider.hold.set()
        await provider.until_billed(len(provider.billed) + 1)
        provider.hold.clear()
    await provider.until_billed(before + 1)
    gateway.kill()
    provider.hold.set()
    began = time.monotonic()
    await gateway.start()
    memos = await _ended(front, person)
    took_s = time.monotonic() - began
    assert [memo["audio"]["status"] for memo in memos] == ["ready"] * MEMOS, memos
    await _check_audio(memos, gateway)
    limits = (await front.send("GET", "/api/v1/usage/limits", token=person.key)).body
    assert limits["daily"]["used"] == MEMOS, limits
    bought = Counter(provider.billed[before:])
    twice = sum(times - 1 for times in bought.values())
    assert max(bought.values()) <= 2, bought
    assert twice <= MEMOS_AT_ONCE * PIECES_AT_ONCE, bought
    gateway.kill()
    await front.close()
    return f"{MEMOS} memos ready {took_s:.0f} s after the start, {len(bought)} pieces bought, {twice} of them twice"


async def _ended(front: Front, person: Person) -> list[Any]:
    """Wait until no memo is processing. Returns the memos."""
    async with asyncio.timeout(READY_S):
        while True:
            memos: list[Any] = (await front.send("GET", "/api/v1/memos", token=person.key)).body["memos"]
            if not any(memo["audio"]["status"] == "processing" for memo in memos):
                return memos
            await asyncio.sleep(1)


async def _check_audio(memos: list[Any], gateway: Process) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for memo in memos:
            content = (await http.get(gateway.url + urlsplit(memo["audio"]["url"]).path)).content
            assert abs(read_mp3(content).seconds - memo["audio"]["duration"]) < 1e-4, memo["audio"]
