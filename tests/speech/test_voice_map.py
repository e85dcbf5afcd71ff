"""The map of provider voices, and the file that changes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.speech.openai import DOCUMENTED
from shared.speech.voice_map import DEFAULTS, OPENAI, VoiceMapError, changed, load_voice_maps
from shared.speech.voices import VOICES


@pytest.mark.parametrize("provider", DEFAULTS)
def test_voice_map_gives_each_voice_one_of_its_own(provider: str) -> None:
    """Each of the twelve has a voice at every provider, and no two the same: ElevenLabs' Bella became its Sarah."""
    assert list(DEFAULTS[provider]) == list(VOICES)
    assert len(set(DEFAULTS[provider].values())) == len(VOICES)


def test_openai_voices_are_documented_ones() -> None:
    assert set(OPENAI.values()) <= DOCUMENTED


def test_voice_map_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "voices.json"
    file.write_text(json.dumps({"elevenlabs": {"rachel": "another"}, "polly": {"freya": "Ruth:generative"}}))
    maps = load_voice_maps(file)
    assert maps["elevenlabs"] == {**DEFAULTS["elevenlabs"], "rachel": "another"}
    assert maps["polly"] == {**DEFAULTS["polly"], "freya": "Ruth:generative"}
    assert maps["openai"] == DEFAULTS["openai"]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ([], ["f must be an object of providers"]),
        ({"azure": {}}, ["f: 'azure' is no provider: use polly, elevenlabs, openai"]),
        ({"polly": []}, ["f: polly must be an object of voices"]),
        ({"polly": 1, "openai": 2}, [f"f: {provider} must be an object of voices" for provider in ("polly", "openai")]),
        ({"polly": {"nora": "Nora"}}, ["f: polly: 'nora' is none of our voices"]),
        ({"polly": {"adam": 1}}, ["f: polly: adam must be the name of a voice, in visible ASCII characters"]),
        ({"polly": {"adam": ""}}, ["f: polly: adam must be the name of a voice, in visible ASCII characters"]),
        ({"polly": {"adam": "a b"}}, ["f: polly: adam must be the name of a voice, in visible ASCII characters"]),
        ({"polly": {"adam": "a\x7f"}}, ["f: polly: adam must be the name of a voice, in visible ASCII characters"]),
        ({"openai": {"rachel": "coral"}}, ["f: openai: coral says both rachel and sarah"]),
        (
            {"azure": {}, "openai": {"nora": "x", "adam": None}},
            [
                "f: 'azure' is no provider: use polly, elevenlabs, openai",
                "f: openai: 'nora' is none of our voices",
                "f: openai: adam must be the name of a voice, in visible ASCII characters",
            ],
        ),
    ],
)
def test_voice_map_tells_all_that_is_wrong(content: Any, problems: list[str]) -> None:
    with pytest.raises(VoiceMapError) as raised:
        changed(content, file="f")
    assert raised.value.problems == problems


def test_voice_map_takes_every_visible_character() -> None:
    name = "".join(map(chr, range(0x21, 0x7F)))
    assert changed({"openai": {"adam": name}}, file="f")["openai"]["adam"] == name


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot be read"), ("{", "is not JSON"), ("[" * 9999, "not JSON")]
)
def test_voice_map_file_must_be_json(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "voices.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(VoiceMapError, match=says):
        load_voice_maps(file)
