"""`POST /v1/audio/speech` and `GET /v1/models`, by clients of OpenAI's speech API."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, RateLimitError
from soundfile import SoundFile

from shared.audio.files import Link
from shared.audio.folder import FolderFiles
from shared.audio.formats import FORMATS
from shared.audio.opening import AudioPlace, nothing_to_close
from shared.audio.wav import with_header
from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.tables import MEMOS, Window
from tests.handlers.world import Account, Answer, World
from tests.speech.listening import PLAIN, heard, wrong_words
from tests.support import SECRET
from tools.local import local_gateway

NewWorld = Callable[..., World]
SPEECH = "/v1/audio/speech"
TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm", "opus": "audio/ogg"}


@pytest.fixture
def speaking(new_world: NewWorld, tmp_path: Path) -> World:
    return new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path / "audio")})


def speak(
    world: World, key: str | None, text: str = "Hello there", *, repeats: int | None = None, **fields: Any
) -> Answer:
    body = {"model": "tts-1", "input": text, "voice": "rachel", **fields}
    headers = {} if repeats is None else {"x-stainless-retry-count": str(repeats)}
    return world.post(SPEECH, token=key, json=body, headers=headers)


def memos(world: World, account: Account) -> list[Any]:
    found: list[Any] = world.get("/api/v1/memos", token=account.session).json["memos"]
    return found


def used(world: World, account: Account) -> int:
    used: int = world.get("/api/v1/usage/limits", token=account.session).json["daily"]["used"]
    return used


class LongAudio(FolderFiles):
    """A folder that serves links, and whose audio has 4,000,001 bytes."""

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return bytes(4_000_001) if name.startswith("audio/") else await super().read(name, start=start, end=end)

    async def link(self, name: str, *, method: str = "GET") -> Link | None:
        assert method == "GET"
        return Link(url=f"https://place.example.org/{name}", lives_s=60)


def test_audio_beyond_4_mb_is_a_redirect(new_world: NewWorld, tmp_path: Path) -> None:
    """Lambda could not send it. The redirect is of the memo's own file, with the headers of every answer."""
    files = LongAudio(tmp_path)
    env = {"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path)}
    world = new_world(env, audio=AudioPlace(lambda: (files, nothing_to_close)))
    answer = speak(world, world.sign_up().key)
    assert (answer.status, answer.body) == (303, b"")
    assert {"x-memo-id", "x-ratelimit-remaining"} <= answer.headers.keys()
    (kept,) = (tmp_path / "audio").iterdir()
    assert answer.headers["location"] == f"https://place.example.org/audio/{kept.name}"


class SlowSamples(FolderFiles):
    """A folder whose audio is a tenth of a second at 16 kHz, as Polly's is."""

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        slow = with_header(bytes(3_200), 16_000)
        return slow if name.startswith("audio/") else await super().read(name, start=start, end=end)


def test_pcm_has_24_khz_whatever_the_voices_have(new_world: NewWorld, tmp_path: Path) -> None:
    """No header could tell a client another rate: it would play the samples too fast."""
    files = SlowSamples(tmp_path)
    env = {"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path)}
    world = new_world(env, audio=AudioPlace(lambda: (files, nothing_to_close)))
    key = world.sign_up().key
    assert speak(world, key, response_format="pcm").body == bytes(4_800)
    assert speak(world, key, response_format="wav").body == with_header(bytes(3_200), 16_000)


class TestSpeaking:
    @pytest.mark.parametrize("form", TYPES)
    @pytest.mark.thorough
    def test_audio_of_each_format_is_the_answer(self, speaking: World, form: str) -> None:
        """The bytes are what the memo's URL serves, but for `pcm`, which is a WAV without its header."""
        ada = speaking.sign_up()
        answer = speak(speaking, ada.key, PLAIN, response_format=form)
        assert (answer.status, answer.headers["content-type"]) == (200, TYPES[form])
        (memo,) = memos(speaking, ada)
        assert answer.headers["x-memo-id"] == memo["id"]
        kept = speaking.get(memo["audio"]["url"].partition("example.org")[2]).body
        assert answer.body == (kept[44:] if form == "pcm" else kept)
        assert memo["audio"]["format"] == ("wav" if form == "pcm" else form)
        length = FORMATS[memo["audio"]["format"]].read(kept)
        assert memo["audio"]["duration"] == pytest.approx(length.seconds, abs=1e-6)
        assert used(speaking, ada) == 1

    @pytest.mark.thorough
    def test_opus_is_understood(self, speaking: World, tmp_path: Path) -> None:
        file = tmp_path / "said.opus"
        file.write_bytes(speak(speaking, speaking.sign_up().key, PLAIN, response_format="opus").body)
        with SoundFile(file) as sound:
            assert wrong_words(PLAIN, heard(sound.read())) <= 0.25

    @pytest.mark.parametrize(
        ("asked", "ours"), [("marin", "rachel"), ("Onyx", "adam"), ("ballad", "sam"), ("emily", "emily")]
    )
    def test_voices_have_openais_names_too(self, world: World, asked: str, ours: str) -> None:
        ada = world.sign_up()
        assert speak(world, ada.key, voice=asked).status == 200
        assert memos(world, ada)[0]["voice"]["id"] == ours

    def test_models_lists_one(self, world: World) -> None:
        """Any key may list models."""
        ada = world.sign_up()
        _, key = world.new_key(ada, scopes=["usage:read"])
        models = world.get("/v1/models", token=key).json
        assert models["object"] == "list"
        assert [(model["id"], model["object"]) for model in models["data"]] == [("agent-talk", "model")]


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"voice": "nobody"}, "INVALID_VOICE", "voice"),
            ({"input": ""}, "MISSING_FIELD", "input"),
            ({"input": "..."}, "VALIDATION_ERROR", "input"),
            ({"input": "x" * 5_001}, "VALIDATION_ERROR", "input"),
            ({"response_format": "flac"}, "VALIDATION_ERROR", "response_format"),
            ({"speed": 1.5}, "VALIDATION_ERROR", "speed"),
            ({"speed": "fast"}, "INVALID_INPUT", "speed"),
            ({"stream_format": "sse"}, "VALIDATION_ERROR", "stream_format"),
            ({"model": None}, "MISSING_FIELD", "model"),
        ],
    )
    def test_bad_field_is_400_in_openais_envelope(
        self, world: World, fields: dict[str, Any], code: str, param: str
    ) -> None:
        """The error names the field as OpenAI does, and no memo is made or charged."""
        ada = world.sign_up()
        answer = speak(world, ada.key, **fields)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)
        assert answer.error["type"] == "invalid_request_error"
        assert (memos(world, ada), used(world, ada)) == ([], 0)

    def test_text_that_takes_longer_is_400_with_the_length(self, speaking: World) -> None:
        """A longer text would be a memo that is `processing`, which this answer cannot express."""
        ada = speaking.sign_up()
        answer = speak(speaking, ada.key, "word " * 450)
        assert (answer.status, answer.error["param"]) == (400, "input")
        assert "2000 characters that are said at once" in answer.error["message"]
        assert (memos(speaking, ada), used(speaking, ada)) == ([], 0)

    def test_credentials_are_refused_as_openai_does(self, world: World) -> None:
        ada = world.sign_up()
        _, reader = world.new_key(ada, scopes=["memo:read"])
        for token, status, code in [
            (None, 401, "MISSING_API_KEY"),
            ("at_live_" + "x" * 43, 401, "INVALID_API_KEY"),
            (ada.session, 401, "INVALID_API_KEY"),
            (reader, 403, "FORBIDDEN"),
        ]:
            answer = speak(world, token)
            assert (answer.status, answer.error["code"]) == (status, code)

    def test_limit_is_429_that_is_not_repeated(self, world: World) -> None:
        ada = world.sign_up()
        _, key = world.new_key(ada, limits={"memosPerDay": 1})
        assert speak(world, key).status == 200
        answer = speak(world, key)
        assert (answer.status, answer.error["code"], answer.error["type"]) == (
            429,
            "DAILY_LIMIT_EXCEEDED",
            "rate_limit_error",
        )
        assert (answer.headers["x-should-retry"], "retry-after" in answer.headers) == ("false", True)

    def test_other_methods_are_405_in_the_envelope(self, world: World) -> None:
        answer = world.get(SPEECH)
        assert (answer.status, answer.error["code"], answer.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")


class TestRepeats:
    def test_repeat_answers_the_first_memo(self, world: World) -> None:
        """A repeat has the same key and body, and a count above 0: one memo, one charge."""
        ada = world.sign_up()
        first = speak(world, ada.key, repeats=0)
        for count in (1, 2):
            again = speak(world, ada.key, repeats=count)
            assert (again.headers["x-memo-id"], again.body) == (first.headers["x-memo-id"], first.body)
        assert (len(memos(world, ada)), used(world, ada)) == (1, 1)

    def test_calls_with_one_text_are_two_memos(self, world: World) -> None:
        """A repeat returns the later of the two."""
        ada = world.sign_up()
        first, second = speak(world, ada.key, repeats=0), speak(world, ada.key)
        assert first.headers["x-memo-id"] != second.headers["x-memo-id"]
        assert speak(world, ada.key, repeats=1).headers["x-memo-id"] == second.headers["x-memo-id"]
        assert (len(memos(world, ada)), used(world, ada)) == (2, 2)

    @pytest.mark.parametrize("fields", [{"text": "Hello you"}, {"voice": "adam"}, {"response_format": "wav"}])
    def test_repeat_of_another_body_is_a_call(self, world: World, fields: dict[str, Any]) -> None:
        ada = world.sign_up()
        speak(world, ada.key)
        speak(world, ada.key, repeats=1, **fields)
        assert len(memos(world, ada)) == 2

    def test_repeat_by_another_key_is_a_call(self, world: World) -> None:
        ada = world.sign_up()
        _, other = world.new_key(ada)
        speak(world, ada.key)
        speak(world, other, repeats=1)
        assert len(memos(world, ada)) == 2

    @pytest.mark.parametrize(("minutes", "made"), [(9, 1), (10, 2)])
    def test_repeat_counts_for_ten_minutes(self, world: World, minutes: int, made: int) -> None:
        ada = world.sign_up()
        speak(world, ada.key)
        world.clock.advance(timedelta(minutes=minutes))
        assert speak(world, ada.key, repeats=1).status == 200
        assert len(memos(world, ada)) == made

    def test_repeat_after_a_deletion_makes_a_new_one(self, world: World) -> None:
        ada = world.sign_up()
        first = speak(world, ada.key).headers["x-memo-id"]
        world.send("DELETE", f"/api/v1/memo/{first}", token=ada.key)
        second = speak(world, ada.key, repeats=1).headers["x-memo-id"]
        assert [memo["id"] for memo in memos(world, ada)] == [second]
        assert second != first

    def test_repeat_without_a_first_call_is_one(self, world: World) -> None:
        """The first may never have arrived."""
        ada = world.sign_up()
        assert speak(world, ada.key, repeats=1).status == 200
        assert (len(memos(world, ada)), used(world, ada)) == (1, 1)

    @pytest.mark.parametrize("count", ["", "x", "-1", "²", "9" * 400])
    def test_odd_counts_are_read_or_ignored(self, world: World, count: str) -> None:
        ada = world.sign_up()
        headers = {"x-stainless-retry-count": count}
        body = {"model": "tts-1", "input": "Hi", "voice": "adam"}
        assert world.post(SPEECH, token=ada.key, json=body, headers=headers).status == 200


class Proxy(httpx2.AsyncBaseTransport):
    """A network to the gateway that loses or replaces the first answer of speech."""

    def __init__(self, app: Any, fault: str = "") -> None:
        self._inner = httpx2.ASGITransport(app=app)
        self._fault = fault
        self.calls = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        is_first = self.calls == 1
        if is_first and self._fault == "503 before":
            return httpx2.Response(503, request=request)
        answer = await self._inner.handle_async_request(request)
        if is_first and self._fault == "503 after":
            return httpx2.Response(503, request=request)
        if is_first and self._fault == "cut":
            raise httpx2.RemoteProtocolError("the answer was cut", request=request)
        return answer


class Shop:
    """A gateway with one account, and OpenAI's own client on it."""

    def __init__(self, fault: str = "") -> None:
        store = MemoryStore()
        self.services = Services.on(store, Settings.from_env({"SESSION_SECRET": SECRET}))
        self.gateway = local_gateway({"SESSION_SECRET": SECRET}, lambda _: self.services)
        self.proxy = Proxy(self.gateway, fault)
        self.key = ""

    async def open(self) -> AsyncOpenAI:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.gateway), base_url="http://talk") as http:
            body = {"email": "ada@example.org", "password": "correct horse"}
            signed_up = (await http.post("/api/v1/auth/signup", json=body)).json()
        self.key = signed_up["apiKey"]["key"]
        return self.client(self.key)

    def client(self, key: str) -> AsyncOpenAI:
        http = httpx2.AsyncClient(transport=self.proxy)
        return AsyncOpenAI(api_key=key, base_url="http://talk/v1", http_client=http)

    async def made(self) -> tuple[int, int]:
        """Return the number of memos, and the number of charged ones."""
        key = await self.services.api_keys.authenticate(self.key)
        page = await self.services.tables.memos.page(key.user_id, Window(limit=100))
        quota = await self.services.quotas.now(key, self.services.memos.owner, self.services.clock())
        return len(page.rows), quota.day.used


@pytest.mark.anyio
class TestSdk:
    @pytest.mark.parametrize("form", TYPES)
    async def test_sdk_makes_a_memo_in_each_format(self, form: Any) -> None:
        """OpenAI's own Python client works unmodified."""
        shop = Shop()
        client = await shop.open()
        said = await client.audio.speech.create(model="tts-1", voice="nova", input="Hello", response_format=form)
        assert len(said.content) > 100
        assert [model.id async for model in client.models.list()] == ["agent-talk"]
        assert await shop.made() == (1, 1)

    @pytest.mark.parametrize("fault", ["503 before", "503 after", "cut"])
    async def test_sdks_own_repeat_makes_one_memo(self, fault: str) -> None:
        """The first answer is lost, or a 503. The SDK repeats the request: one memo, one charge."""
        shop = Shop(fault)
        client = await shop.open()
        said = await client.audio.speech.create(model="tts-1", voice="nova", input="Hello")
        assert said.content
        assert shop.proxy.calls == 2
        assert await shop.made() == (1, 1)

    async def test_two_calls_of_the_sdk_are_two_memos(self) -> None:
        shop = Shop()
        client = await shop.open()
        for _ in range(2):
            await client.audio.speech.create(model="tts-1", voice="nova", input="Hello")
        assert await shop.made() == (2, 2)

    async def test_sdk_raises_its_own_errors_at_once(self) -> None:
        """Each refusal raises the SDK's class, and the SDK does not repeat one by a limit."""
        shop = Shop()
        client = await shop.open()
        with pytest.raises(BadRequestError) as refused:
            await client.audio.speech.create(model="tts-1", voice="nobody", input="Hello")
        assert (refused.value.code, refused.value.param) == ("INVALID_VOICE", "voice")
        with pytest.raises(AuthenticationError):
            await shop.client("at_live_" + "x" * 43).audio.speech.create(model="tts-1", voice="nova", input="Hello")
        user = (await shop.services.api_keys.authenticate(shop.key)).user_id
        now = shop.services.clock()
        await shop.services.store.increment(f"{user}:calls:{now:%Y-%m-%d}", 100)
        calls = shop.proxy.calls
        with pytest.raises(RateLimitError):
            await client.audio.speech.create(model="tts-1", voice="nova", input="Hello")
        assert shop.proxy.calls == calls + 1


@pytest.mark.anyio
@pytest.mark.parametrize("minutes", [0, 11, None])
async def test_repeats_at_once_make_one_memo(new_world: NewWorld, minutes: int | None) -> None:
    """This holds right after the memo's deletion, 11 minutes after it, and without a first call (None)."""
    world = new_world(seed=1)
    async with world.http("users") as client:
        made = await client.post("/api/v1/auth/signup", json={"email": "ada@example.org", "password": "long enough"})
    body = {"model": "tts-1", "input": "Hello there", "voice": "rachel"}
    async with world.http("memos", made.json()["apiKey"]["key"]) as client:
        if minutes is not None:
            first = (await client.post(SPEECH, json=body)).headers["x-memo-id"]
            await client.delete(f"/api/v1/memo/{first}")
            world.later(minutes=minutes)
        again = {"x-stainless-retry-count": "1"}
        answers = await asyncio.gather(*(client.post(SPEECH, json=body, headers=again) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    (row,) = (await world.store.scan(MEMOS)).rows
    assert {answer.headers["x-memo-id"] for answer in answers if answer.status_code == 200} == {row.key.sort}
