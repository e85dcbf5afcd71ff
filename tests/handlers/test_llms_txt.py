"""The text for agents without instructions."""

from shared.speech.voices import VOICES
from tests.handlers.mcp_client import URL
from tests.handlers.test_mcp_tools import TOOLS
from tests.handlers.world import PUBLIC_URL, World


def test_llms_txt_is_twenty_lines_of_text(world: World) -> None:
    """It contains this deployment's own URLs, and needs no credential."""
    answer = world.get("/llms.txt")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    text = answer.body.decode()
    assert len(text.splitlines()) == 20
    assert text.startswith("# Agent Talk\n\n> ")
    assert "{url}" not in text
    assert URL in text


def test_llms_txt_names_what_is_there(world: World) -> None:
    """The text names every tool and voice, and its URLs are answered."""
    text = world.get("/llms.txt").body.decode()
    assert ", ".join(TOOLS) in text
    assert ", ".join(VOICES) in text
    for path in ("/samples/rachel.mp3", "/api/v1/voices"):
        assert f"{PUBLIC_URL}{path}" in text
        assert world.get(path).status == 200
    for path in ("/api/v1/usage/limits", "/api/v1/memos"):
        assert f"{PUBLIC_URL}{path}" in text
        assert world.get(path).status == 401
