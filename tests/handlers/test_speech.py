"""Speech through the handlers: a memo's audio is made, stored, fetched and deleted, and failures are not charged."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.audio.files import Area, AudioFiles, making, owner_digest
from shared.audio.folder import FolderFiles
from shared.audio.formats import FORMATS
from shared.audio.opening import AudioPlace
from shared.plans import Tier
from shared.speech.voice_map import ELEVENLABS, OPENAI
from tests.fakes.dynamo_world import Fault as AwsFault
from tests.fakes.dynamo_world import answered
from tests.fakes.s3_world import S3World, bucket_on, engine
from tests.fakes.speech_provider import KEY, ElevenLabsDialect, FakeProvider, Fault, OpenAiDialect
from tests.handlers.world import PUBLIC_URL, Account, Answer, Logs, World
from tests.speech.listening import PLAIN, decoded, heard, lengths, played, wrong_words
from tests.support import BY_SES, repeatable

NewWorld = Callable[..., World]
MEMO = "/api/v1/memo"
DENIED = AwsFault(raises=answered("AccessDenied", 403))


@pytest.fixture
def speaking(new_world: NewWorld, folder: Path) -> World:
    """Return a world with our own voices and audio in a folder, as in `make run`."""
    return new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(folder)})


def say(world: World, key: str, text: str = "Hello there", voice: str = "rachel", **fields: Any) -> Answer:
    return world.post(MEMO, token=key, json={"text": text, "voice": voice, **fields})


def fetch(world: World, memo: Any, method: str = "GET", **headers: str) -> Answer:
    path = memo["audio"]["url"].removeprefix(PUBLIC_URL)
    return world.send(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def used(world: World, account: Account) -> int:
    used: int = world.get("/api/v1/usage/limits", token=account.session).json["daily"]["used"]
    return used


def actions(world: World, account: Account) -> list[str]:
    return [log["action"] for log in world.get("/api/v1/usage", token=account.session).json["logs"]]


def kept(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_nothing_came_of_it(world: World, account: Account) -> None:
    """Check that no place is used, and that no memo exists."""
    assert used(world, account) == 0
    assert world.get("/api/v1/memos", token=account.session).json["memos"] == []


class TestOwnVoices:
    def test_memo_is_understood_by_a_recogniser(self, speaking: World) -> None:
        """The recogniser finds the memo's text in its file, whose length is the answered duration."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, PLAIN).json
        answer = fetch(speaking, memo)
        assert (answer.status, answer.headers["content-type"]) == (200, "audio/mpeg")
        assert answer.headers["cache-control"] == "private, max-age=86400"
        understood = heard(decoded(answer.body))
        assert wrong_words(PLAIN, understood) <= 0.25, understood
        assert set(lengths(answer.body).values()) == {round(memo["audio"]["duration"] * 24_000)}
        assert memo["audio"] == {**memo["audio"], "format": "mp3", "status": "ready"}

    def test_url_begins_with_a_digest_of_the_owner(self, speaking: World) -> None:
        """The file is neither the memo's id nor the same for two memos of one text."""
        ada = speaking.sign_up()
        memos = [say(speaking, ada.key).json for _ in range(2)]
        files = [memo["audio"]["url"].rpartition("/")[2] for memo in memos]
        assert files[0] != files[1]
        assert all(file.startswith(f"{owner_digest(ada.id)}-") for file in files)
        assert not any(memo["id"] in memo["audio"]["url"] for memo in memos)

    def test_range_etag_and_head_of_a_file(self, speaking: World) -> None:
        """A part, a known file, an unsatisfiable part and a HEAD, which has no parts, are answered as HTTP has them."""
        memo = say(speaking, speaking.sign_up().key).json
        whole = fetch(speaking, memo)
        etag = whole.headers["etag"]
        part = fetch(speaking, memo, Range="bytes=10-19")
        assert (part.status, part.body) == (206, whole.body[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
        assert fetch(speaking, memo, Range="bytes=10-19", If_Range='"another"').body == whole.body
        assert fetch(speaking, memo, If_None_Match=etag).status == 304
        assert fetch(speaking, memo, Range=f"bytes={len(whole.body)}-").status == 416
        for head in (fetch(speaking, memo, "HEAD"), fetch(speaking, memo, "HEAD", Range="bytes=10-19")):
            assert (head.status, head.body, head.headers["etag"]) == (200, b"", etag)
            assert head.headers["content-length"] == str(len(whole.body))

    def test_audio_asks_no_store(self, speaking: World) -> None:
        """An anonymous caller of an audio URL costs no store request, so an outage of the store does not matter."""
        memo = say(speaking, speaking.sign_up().key).json
        speaking.is_down = True
        assert fetch(speaking, memo).status == 200

    def test_deleting_a_memo_deletes_its_audio(self, speaking: World, folder: Path) -> None:
        """After a deletion the URL is 404 and the folder empty."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key).json
        assert kept(folder) == [f"audio/{memo['audio']['url'].rpartition('/')[2]}"]
        assert speaking.delete(f"{MEMO}/{memo['id']}", token=ada.key).status == 200
        assert (fetch(speaking, memo).status, kept(folder)) == (404, [])

    def test_audio_that_is_being_made_is_503_not_ready(self, speaking: World, folder: Path) -> None:
        """The answer names seconds to wait; once the owner is closed it is 404."""
        memo = say(speaking, speaking.sign_up().key).json
        file = memo["audio"]["url"].rpartition("/")[2]
        files: AudioFiles = FolderFiles(folder)
        speaking.run(files.delete([f"{Area.AUDIO}/{file}"]))
        speaking.run(files.put(making(file), b""))
        answer = fetch(speaking, memo)
        assert (answer.status, answer.error["code"]) == (503, "AUDIO_NOT_READY")
        assert int(answer.headers["retry-after"]) > 0
        speaking.run(files.put(f"{Area.CLOSED}/{file[:32]}", b""))
        assert fetch(speaking, memo).status == 404

    @pytest.mark.parametrize("text", ["\N{GRINNING FACE}", "***", "\0\t\n", "你好"])
    def test_text_that_cannot_be_said_is_400(self, speaking: World, text: str) -> None:
        """Nothing is charged, written or kept for a text that has no sound in our own voices."""
        ada = speaking.sign_up()
        answer = say(speaking, ada.key, text)
        assert (answer.status, answer.error["code"], answer.error["details"]) == (
            400,
            "VALIDATION_ERROR",
            {"field": "text"},
        )
        assert_nothing_came_of_it(speaking, ada)

    @pytest.mark.parametrize("text", ["<b>&amp;</b> < & >", "a" * 300, "7 " * 30, "مرحبا hello שלום", "[a](/b) _x_"])
    @pytest.mark.thorough
    def test_any_other_text_is_audio(self, speaking: World, text: str) -> None:
        """Markup, walls of letters, digits and mixed scripts become audio; the stored text is unchanged."""
        memo = say(speaking, speaking.sign_up().key, text).json
        assert memo["text"] == text
        assert len(decoded(fetch(speaking, memo).body)) == round(memo["audio"]["duration"] * 24_000)

    @pytest.mark.thorough
    def test_every_text_is_audio_or_400(self, speaking: World) -> None:
        """A text of any Unicode is never 5xx, and its memo has the text unchanged."""
        ada = speaking.sign_up()
        speaking.put_on(ada, Tier.ENTERPRISE)

        @settings(repeatable, max_examples=40)
        @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
        @example("\0")
        @example("<speak>&")
        @example("\N{ZERO WIDTH JOINER}\N{GRINNING FACE}")
        @example("你好。مرحبا")
        @example("½ 10⁵ ①")
        def every_text(text: str) -> None:
            answer = say(speaking, ada.key, text)
            assert answer.status in (201, 400), (text, answer)
            if answer.status == 201:
                assert answer.json["text"] == text
                assert fetch(speaking, answer.json).status == 200

        every_text()

    def test_test_keys_and_demos_stay_simulated(self, speaking: World, folder: Path) -> None:
        """They are silence that is made when it is fetched: nothing is kept."""
        ada = speaking.sign_up()
        _, key = speaking.new_key(ada, test=True)
        demo = speaking.post("/api/v1/demo", json={"text": "Hello there", "voice": "sam"}).json
        for memo in (say(speaking, key).json, demo):
            assert memo["audio"]["url"] == f"{PUBLIC_URL}/audio/simulated-9.mp3"
        assert kept(folder) == []

    def test_folder_that_cannot_be_written_is_502_storage_error(
        self, new_world: NewWorld, tmp_path: Path, logs: Logs
    ) -> None:
        """The place is given back, the failure is recorded, and the log has the reason."""
        (tmp_path / "file").write_text("no folder")
        world = new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(tmp_path / "file")})
        ada = world.sign_up()
        answer = say(world, ada.key)
        assert (answer.status, answer.error["code"]) == (502, "STORAGE_ERROR")
        assert answer.error["details"] == {"operation": "put"}
        assert_nothing_came_of_it(world, ada)
        assert {"memo_failed", "error_api"} <= set(actions(world, ada))
        (error,) = world.get("/api/v1/usage", token=ada.session, query={"action": "error_api"}).json["logs"]
        assert error["metadata"] == {"code": "STORAGE_ERROR", "voice": "rachel", "characters": 11, "test": False}
        assert "audio store: put" in logs.text

    def test_memo_that_cannot_be_written_leaves_no_audio(self, speaking: World, folder: Path) -> None:
        """If the store fails after the speech, the audio is deleted."""
        ada = speaking.sign_up()
        say(speaking, ada.key)
        before = kept(folder)

        class Down:
            async def __call__(self) -> None:
                speaking.is_down = len(kept(folder)) > len(before)

        speaking.disturb(Down())
        assert say(speaking, ada.key).status == 503
        assert kept(folder) == before


class TestFormats:
    @pytest.mark.parametrize(("form", "kind"), [("mp3", "audio/mpeg"), ("wav", "audio/wav"), ("opus", "audio/ogg")])
    @pytest.mark.thorough
    def test_memo_is_made_in_each_format(self, speaking: World, form: str, kind: str) -> None:
        """The file's ending, its type and its bytes are of the format, and the duration is exact to the sample."""
        ada = speaking.sign_up()
        memo = say(speaking, ada.key, PLAIN, format=form).json
        assert (memo["audio"]["format"], memo["audio"]["url"].rpartition(".")[2]) == (form, form)
        answer = fetch(speaking, memo)
        assert answer.headers["content-type"] == kind
        assert memo["audio"]["duration"] == pytest.approx(FORMATS[form].read(answer.body).seconds, abs=1e-6)
        assert wrong_words(PLAIN, heard(played(answer.body))) <= 0.25
        (listed,) = speaking.get("/api/v1/memos", token=ada.key).json["memos"]
        assert listed == memo

    @pytest.mark.parametrize(("form", "kind"), [("wav", "audio/wav"), ("opus", "audio/ogg")])
    def test_test_keys_have_each_format(self, world: World, form: str, kind: str) -> None:
        """Simulated audio has the format's media type and the answered duration."""
        ada = world.sign_up()
        key = world.post("/api/keys", token=ada.session, json={"test": True}).json["key"]["key"]
        memo = say(world, key, format=form).json
        answer = fetch(world, memo)
        assert (memo["audio"]["format"], answer.headers["content-type"]) == (form, kind)
        assert FORMATS[form].read(answer.body).seconds == memo["audio"]["duration"]

    def test_other_formats_are_400(self, speaking: World) -> None:
        """The valid options are the formats that there are; nothing is charged."""
        ada = speaking.sign_up()
        answer = say(speaking, ada.key, format="flac")
        assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
        assert answer.error["details"] == {"field": "format", "validOptions": ["mp3", "wav", "opus"]}
        assert_nothing_came_of_it(speaking, ada)

    def test_too_long_a_text_is_400_as_samples(self, speaking: World) -> None:
        """Half an hour of samples is 80 MB: a longer text is MP3 or Opus. Nothing is charged."""
        ada = speaking.sign_up()
        speaking.put_on(ada, Tier.ENTERPRISE)
        answer = say(speaking, ada.key, "word " * 4_001, format="wav")
        assert (answer.status, answer.error["details"]) == (400, {"field": "text", "limit": 20_000, "provided": 20_005})
        assert_nothing_came_of_it(speaking, ada)


class TestSamples:
    def test_each_voice_has_a_sample(self, world: World) -> None:
        """The list of voices names a sample of each, which may be kept for a day."""
        for voice in world.get("/api/v1/voices").json["voices"]:
            answer = world.get(voice["sampleUrl"].removeprefix(PUBLIC_URL))
            assert (answer.status, answer.headers["content-type"]) == (200, "audio/mpeg")
            assert answer.headers["cache-control"] == "public, max-age=86400"
            assert len(decoded(answer.body)) > 24_000

    @pytest.mark.parametrize("sample", ["nobody.mp3", "adam", "adam.wav", "__init__.py"])
    def test_other_samples_are_404(self, world: World, sample: str) -> None:
        assert world.get(f"/samples/{sample}").status == 404


class TestHealth:
    def test_health_tells_the_default_voices(self, speaking: World, new_world: NewWorld) -> None:
        """`ttsMode` is the default's; the detailed answer contains the audio place, and its health."""
        health = speaking.get("/health/detailed").json
        assert (health["ttsMode"], health["checks"]["audio"]) == ("local", {"status": "ok", "mode": "folder"})
        assert new_world({"SPEECH": "simulated"}).get("/health").json["ttsMode"] == "simulation"

    def test_lambda_without_speech_refuses_and_names_the_variables(self, new_world: NewWorld, logs: Logs) -> None:
        """In Lambda SPEECH and AUDIO have no defaults: without them every answer is 503."""
        lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "memos", "SESSION_SECRET": "s" * 40, **BY_SES}
        assert new_world(lambdas).get("/api/v1/voices").status == 503
        assert new_world({**lambdas, "SPEECH": "local"}).get("/api/v1/voices").status == 503
        errors = [line["message"] for line in logs.lines if line["level"] == "ERROR"]
        assert "set SPEECH" in errors[0]
        assert "set AUDIO" in errors[1]


@contextmanager
def served(provider: FakeProvider) -> Iterator[str]:
    """Serve the provider on a port, in a thread, since the functions have their own event loops. Yields its URL."""
    url: list[str] = []
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with provider.serving() as address:
            url.append(address)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield url[0]
    finally:
        ended.set()
        thread.join()


class TestProviders:
    @pytest.mark.thorough
    def test_each_tier_has_its_own_voices(self, new_world: NewWorld, folder: Path) -> None:
        """Our own voices speak Hobby's texts, ElevenLabs Pro's; both are recognised."""
        provider = FakeProvider(ElevenLabsDialect(), voices=list(ELEVENLABS.values()))
        with served(provider) as url:
            world = new_world(
                {
                    "SPEECH": "local",
                    "SPEECH_PRO": "elevenlabs",
                    "ELEVENLABS_API_KEY": KEY,
                    "ELEVENLABS_BASE_URL": url,
                    "AUDIO_DIR": str(folder),
                }
            )
            hobby, pro = world.sign_up(), world.sign_up()
            world.put_on(pro, Tier.PRO)
            memos = [say(world, account.key, PLAIN).json for account in (hobby, pro)]
            assert provider.billed == [PLAIN]
            for memo in memos:
                assert wrong_words(PLAIN, heard(decoded(fetch(world, memo).body))) <= 0.25

    @pytest.mark.parametrize("fault", [Fault.CUT, Fault.JSON, Fault.EMPTY, Fault.HTML_500, Fault.RESET])
    def test_failing_provider_is_502_and_nothing_is_kept(self, new_world: NewWorld, folder: Path, fault: Fault) -> None:
        """The text is billed once at most, and the caller gets the place back; the next memo is made."""
        provider = FakeProvider(OpenAiDialect(), voices=list(OPENAI.values()))
        with served(provider) as url:
            world = new_world(
                {"SPEECH": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{url}/v1", "AUDIO_DIR": str(folder)}
            )
            ada = world.sign_up()
            provider.faults = lambda number: fault if number == 1 else None
            answer = say(world, ada.key)
            assert (answer.status, answer.error["code"]) == (502, "TTS_SERVICE_ERROR")
            assert answer.error["details"] == {"provider": "openai"}
            assert provider.billed == ["Hello there"]
            assert_nothing_came_of_it(world, ada)
            assert {"memo_failed", "error_tts"} <= set(actions(world, ada))
            assert kept(folder) == []
            assert say(world, ada.key).status == 201


class TestS3:
    @pytest.fixture
    def s3(self) -> Iterator[S3World]:
        with engine() as client, bucket_on(client) as bucket:
            yield S3World(client, bucket)

    @pytest.fixture
    def on_s3(self, new_world: NewWorld, s3: S3World) -> World:
        async def close() -> None:
            """Close nothing: the bucket outlives the functions."""

        env = {"SPEECH": "local", "AUDIO": "s3", "AUDIO_BUCKET": s3.bucket}
        return new_world(env, audio=AudioPlace(lambda: (s3.files, close)))

    def objects(self, s3: S3World) -> list[str]:
        return [found["Key"] for found in s3.client.list_objects_v2(Bucket=s3.bucket).get("Contents", [])]

    def test_memo_is_fetched_by_a_redirect(self, on_s3: World, s3: S3World) -> None:
        """The redirect is kept for less than its target lives, and a HEAD's is signed for HEAD."""
        memo = say(on_s3, on_s3.sign_up().key).json
        file = memo["audio"]["url"].rpartition("/")[2]
        assert self.objects(s3) == [f"audio/{file}"]
        answer = fetch(on_s3, memo)
        assert (answer.status, answer.headers["cache-control"]) == (302, "private, max-age=150")
        assert f"audio/{file}" in answer.headers["location"]
        assert "X-Amz-Expires=300" in answer.headers["location"]
        assert fetch(on_s3, memo, "HEAD").headers["location"] != answer.headers["location"]
        held = s3.client.get_object(Bucket=s3.bucket, Key=f"audio/{file}")
        assert held["ContentType"] == "audio/mpeg"
        assert len(decoded(held["Body"].read())) == round(memo["audio"]["duration"] * 24_000)

    def test_deleting_a_memo_deletes_its_object(self, on_s3: World, s3: S3World) -> None:
        ada = on_s3.sign_up()
        memo = say(on_s3, ada.key).json
        assert on_s3.delete(f"{MEMO}/{memo['id']}", token=ada.session).status == 200
        assert (self.objects(s3), fetch(on_s3, memo).status) == ([], 404)

    def test_outage_is_502_and_given_back(self, on_s3: World, s3: S3World) -> None:
        """While the bucket refuses, memos are 502 STORAGE_ERROR and uncharged, and so is fetching and deleting."""
        ada = on_s3.sign_up()
        memo = say(on_s3, ada.key).json
        s3.wire.faults = lambda _: DENIED
        assert say(on_s3, ada.key).error["code"] == "STORAGE_ERROR"
        assert used(on_s3, ada) == 1
        assert fetch(on_s3, memo).error["code"] == "STORAGE_ERROR"
        assert on_s3.delete(f"{MEMO}/{memo['id']}", token=ada.key).error["code"] == "STORAGE_ERROR"
        assert on_s3.get(f"{MEMO}/{memo['id']}", token=ada.key).status == 200
