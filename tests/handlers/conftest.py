from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck

from shared.audio.opening import AudioPlace
from shared.jobs.queue import MemoQueue
from shared.speech.opening import Speakers
from tests.fakes.long_memos import HeldQueue
from tests.handlers.world import Account, Logs, World, kept_logs

NewWorld = Callable[..., World]
Fuzz = Callable[..., hypothesis.settings]


@pytest.fixture
def store_choice(request: pytest.FixtureRequest) -> str:
    choice: str = request.config.getoption("--store")
    return choice


@pytest.fixture
def new_world(store_choice: str) -> Iterator[NewWorld]:
    """Yield a function that makes worlds, and close their functions afterwards."""
    made: list[World] = []

    def make(
        environ: Mapping[str, str] | None = None,
        *,
        seed: int | None = None,
        audio: AudioPlace | None = None,
        queue: MemoQueue | None = None,
        speakers: Callable[[AudioPlace], Speakers] | None = None,
    ) -> World:
        made.append(World(environ, seed=seed, store=store_choice, audio=audio, queue=queue, speakers=speakers))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the audio of `speaking`."""
    return tmp_path / "audio"


@pytest.fixture
def queue() -> HeldQueue:
    return HeldQueue()


@pytest.fixture
def speaking(new_world: NewWorld, folder: Path, queue: HeldQueue) -> World:
    """Return a world with our own voices. Its long memos wait in `queue` until a test delivers them."""
    return new_world({"SPEECH": "local", "AUDIO": "folder", "AUDIO_DIR": str(folder)}, queue=queue)


@pytest.fixture
def ada(world: World) -> Account:
    return world.sign_up("ada@example.org")


@pytest.fixture
def bob(world: World) -> Account:
    return world.sign_up("bob@example.org")


@pytest.fixture
def logs() -> Iterator[Logs]:
    with kept_logs() as logs:
        yield logs


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    """Return a function from a number of examples to hypothesis's settings; only `--fuzz` randomises the examples."""
    times: int = request.config.getoption("--fuzz")

    def settings(examples: int, **more: Any) -> hypothesis.settings:
        return hypothesis.settings(
            max_examples=examples * max(1, times),
            derandomize=not times,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        )

    return settings
