"""Settings of speech and audio: required in Lambda, and complete."""

from pathlib import Path

import pytest

from shared.core.settings import Settings, SettingsError
from shared.core.speech_settings import AudioChoice, AudioSettings, SpeechChoice, SpeechSettings
from tests.support import BY_SES

QUEUE = {"SPEECH_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/long-memos"}
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "memos",
    "AGENT_TALK_STORE": "dynamodb",
    "SESSION_SECRET": "s" * 40,
    **BY_SES,
    **QUEUE,
}
ON_S3 = {"AUDIO": "s3", "AUDIO_BUCKET": "spoken"}


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    return caught.value.problems


def test_speech_is_simulated_on_a_laptop_that_chooses_none() -> None:
    """Speech is simulated, and no audio is stored."""
    settings = Settings.from_env({})
    assert (settings.speech, settings.audio) == (SpeechSettings(), AudioSettings())


def test_speech_settings_are_read() -> None:
    """The tiers' voices, keys, base URLs and folder reach their fields, and a key is in no repr."""
    settings = Settings.from_env(
        {
            "SPEECH": "local",
            "SPEECH_PRO": "elevenlabs",
            "SPEECH_ENTERPRISE": "openai",
            "SPEECH_VOICES": "voices.json",
            "ELEVENLABS_API_KEY": "eleven",
            "ELEVENLABS_BASE_URL": "https://eleven.example.org/",
            "OPENAI_API_KEY": "open",
            "OPENAI_BASE_URL": "https://open.example.org/v1",
            "AUDIO_DIR": "spoken",
        }
    )
    assert settings.speech == SpeechSettings(
        default=SpeechChoice.LOCAL,
        pro=SpeechChoice.ELEVENLABS,
        enterprise=SpeechChoice.OPENAI,
        voices_file=Path("voices.json"),
        elevenlabs_api_key="eleven",
        elevenlabs_base_url="https://eleven.example.org",
        openai_api_key="open",
        openai_base_url="https://open.example.org/v1",
    )
    assert settings.audio == AudioSettings(place=AudioChoice.FOLDER, folder=Path("spoken"))
    assert 'eleven"' not in repr(settings)
    assert "'eleven'" not in repr(settings)


def test_tiers_have_the_default_voices_unless_set() -> None:
    unset = Settings.from_env({"SPEECH": "polly"}).speech
    assert (unset.default, unset.pro, unset.enterprise) == (SpeechChoice.POLLY,) * 3
    pro = Settings.from_env({"SPEECH": "polly", "SPEECH_PRO": "simulated"}).speech
    assert (pro.default, pro.pro, pro.enterprise) == (SpeechChoice.POLLY, SpeechChoice.SIMULATED, SpeechChoice.POLLY)


def test_speech_is_required_in_lambda() -> None:
    """In Lambda speech has no default, and the problem names the variable."""
    (problem,) = problems(LAMBDA)
    assert "set SPEECH" in problem


def test_audio_place_is_required_in_lambda_if_any_tier_speaks() -> None:
    (problem,) = problems({**LAMBDA, "SPEECH": "simulated", "SPEECH_PRO": "polly"})
    assert "set AUDIO" in problem
    assert Settings.from_env({**LAMBDA, "SPEECH": "simulated"}).audio.place is None
    assert Settings.from_env({**LAMBDA, "SPEECH": "polly", **ON_S3}).audio.bucket == "spoken"


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"SPEECH": "edge"}, "SPEECH must be one of"),
        ({"SPEECH": "elevenlabs"}, "ELEVENLABS_API_KEY"),
        ({"SPEECH_PRO": "elevenlabs"}, "ELEVENLABS_API_KEY"),
        ({"SPEECH": "openai"}, "OPENAI_API_KEY"),
        ({"SPEECH": "openai", "OPENAI_API_KEY": "with space"}, "no header can carry"),
        ({"SPEECH": "local", "AUDIO": "s3"}, "AUDIO_BUCKET"),
        ({"SPEECH": "local", "AUDIO": "s3", "AUDIO_BUCKET": "Not_A_Bucket"}, "AUDIO_BUCKET"),
        ({"SPEECH": "local", "AUDIO": "tape"}, "AUDIO must be one of"),
        ({"SPEECH": "local", "AUDIO_BUCKET": "spoken"}, "AUDIO is not s3"),
    ],
)
def test_incomplete_speech_settings_are_named(env: dict[str, str], named: str) -> None:
    """Each missing or contradictory variable is one problem with its name."""
    (problem,) = problems(env)
    assert named in problem


def test_openai_compatible_server_needs_no_key() -> None:
    assert Settings.from_env({"SPEECH": "openai", "OPENAI_BASE_URL": "http://10.0.0.7:8880/v1"}).speech.choices


def test_queue_is_required_in_lambda_if_any_tier_speaks() -> None:
    """In Lambda another function speaks long texts. A laptop needs no queue: tasks of its process speak them."""
    speaking = {**LAMBDA, **ON_S3, "SPEECH": "simulated", "SPEECH_PRO": "polly"}
    (problem,) = problems({**speaking, "SPEECH_QUEUE_URL": ""})
    assert "SPEECH_QUEUE_URL is missing" in problem
    assert Settings.from_env(speaking).speech.queue_url == QUEUE["SPEECH_QUEUE_URL"]
    assert Settings.from_env({**LAMBDA, "SPEECH": "simulated", "SPEECH_QUEUE_URL": ""}).speech.queue_url == ""
    assert Settings.from_env({"SPEECH": "local"}).speech.queue_url == ""


def test_folder_of_a_container_keeps_no_audio_of_production() -> None:
    """In Lambda a folder is the container's own: a warning in development, refused in production; a mount is shared."""
    own = {**LAMBDA, "SPEECH": "local", "AUDIO": "folder"}
    assert "AUDIO=folder" in Settings.from_env(own).warnings[-1]
    production = {**own, "AGENT_TALK_ENV": "production", "PUBLIC_URL": "https://api.example.org"}
    assert [problem for problem in problems(production) if "AUDIO=folder" in problem]
    mounted = Settings.from_env({**own, "AUDIO_DIR": "/mnt/audio"})
    assert mounted.warnings == ()


@pytest.mark.parametrize(
    ("env", "origins"),
    [
        (
            {"AWS_REGION": "eu-central-1"},
            ("https://spoken.s3.eu-central-1.amazonaws.com", "https://spoken.s3.amazonaws.com"),
        ),
        ({"AWS_ENDPOINT_URL": "http://localhost:4566/"}, ("http://localhost:4566", "http://spoken.localhost:4566")),
        (
            {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:2/"},
            ("http://s3:2", "http://spoken.s3:2"),
        ),
    ],
)
def test_origins_of_a_bucket_are_where_its_links_lead(env: dict[str, str], origins: tuple[str, ...]) -> None:
    """A page's policy allows them, so that it can play the target of GET /audio's redirect."""
    assert Settings.from_env({"SPEECH": "local", **ON_S3, **env}).audio.origins == origins
