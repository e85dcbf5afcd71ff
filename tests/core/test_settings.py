from pathlib import Path

import pytest

from shared.core.mail_settings import MailChoice, MailSettings
from shared.core.settings import (
    DEVELOPMENT_SECRET,
    AttemptLimits,
    Settings,
    SettingsError,
    StoreChoice,
    WebSettings,
    chosen_store,
)
from tests.support import BY_SES, SECRET

PRODUCTION = {
    **BY_SES,
    "AGENT_TALK_ENV": "production",
    "AGENT_TALK_STORE": "dynamodb",
    "SESSION_SECRET": SECRET,
    "PUBLIC_URL": "https://api.example.org",
}
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "agent-talk-users", "SPEECH": "simulated", **BY_SES}

DIRECT = {"HYPR_URL": "http://micro.example.org", "HYPERMICRO_API_KEY": "k"}
PLATFORM = {"HYPR_PLATFORM_URL": "https://platform.example.org", "HYPR_APP_SLUG": "app", "AGENT_TALK_STORE": "micro"}


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    return caught.value.problems


def problem(env: dict[str, str]) -> str:
    (only,) = problems(env)
    return only


def test_settings_of_an_empty_environment_are_a_laptops() -> None:
    """An empty environment means memory, development and every default."""
    assert Settings.from_env({}) == Settings(
        store=StoreChoice.MEMORY,
        edge=WebSettings(production=False, cors_origins=(), log_level="INFO", metrics=False),
        session_secret=DEVELOPMENT_SECRET,
        public_url="http://localhost:8000",
        memory_file=None,
        attempts=AttemptLimits(
            failed_logins_per_account=10, failed_logins_per_address=100, signups_per_address=20, demos_per_address=60
        ),
        warnings=(),
    )


def test_settings_read_every_variable() -> None:
    """Each variable reaches its field."""
    read = Settings.from_env(
        {
            "AGENT_TALK_STORE": "memory",
            "AGENT_TALK_ENV": "production",
            "SESSION_SECRET": SECRET,
            "PUBLIC_URL": "https://api.example.org/v1/",
            "CORS_ORIGINS": "https://a.example.org, https://localhost:3000/ ,",
            "AGENT_TALK_MEMORY_FILE": "rows.json",
            "FAILED_LOGINS_PER_ACCOUNT": "1",
            "FAILED_LOGINS_PER_ADDRESS": "2",
            "SIGNUPS_PER_ADDRESS": "3",
            "DEMOS_PER_ADDRESS": "4",
            "RESETS_PER_ACCOUNT": "5",
            "RESETS_PER_ADDRESS": "6",
            "VERIFICATIONS_PER_ACCOUNT": "7",
            "VERIFICATIONS_PER_ADDRESS": "8",
            "FORGOT_PASSWORD_MS": "1500",
            "APP_URL": "https://app.example.org/talk/",
            "LOG_LEVEL": "DEBUG",
            **BY_SES,
            "METRICS": "1",
        }
    )
    assert read == Settings(
        store=StoreChoice.MEMORY,
        edge=WebSettings(
            production=True,
            cors_origins=("https://a.example.org", "https://localhost:3000"),
            public_origin="https://api.example.org",
            log_level="DEBUG",
            metrics=True,
        ),
        session_secret=SECRET,
        public_url="https://api.example.org/v1",
        memory_file=Path("rows.json"),
        attempts=AttemptLimits(
            failed_logins_per_account=1,
            failed_logins_per_address=2,
            signups_per_address=3,
            demos_per_address=4,
            resets_per_account=5,
            resets_per_address=6,
            verifications_per_account=7,
            verifications_per_address=8,
        ),
        mail=MailSettings(choice=MailChoice.SES, sender="talk@example.org"),
        app_url="https://app.example.org/talk",
        forgot_password_ms=1500,
    )


def test_settings_take_empty_variables_as_unset() -> None:
    """Each variable then has its default."""
    names = [
        "AGENT_TALK_STORE",
        "AGENT_TALK_ENV",
        "SESSION_SECRET",
        "PUBLIC_URL",
        "CORS_ORIGINS",
        "AGENT_TALK_MEMORY_FILE",
        "FAILED_LOGINS_PER_ACCOUNT",
        "LOG_LEVEL",
        "METRICS",
        "HYPR_URL",
        "HYPERMICRO_API_KEY",
        "HYPR_MODE",
    ]
    assert Settings.from_env(dict.fromkeys(names, "")) == Settings.from_env({})


@pytest.mark.parametrize(
    ("env", "store"),
    [
        ({}, StoreChoice.MEMORY),
        ({"HYPR_MODE": "development"}, StoreChoice.MEMORY),
        ({"HYPR_MODE": "production"} | PLATFORM, StoreChoice.MICRO),
        (DIRECT, StoreChoice.MICRO),
        ({"AGENT_TALK_STORE": "memory", "HYPR_URL": "http://micro.example.org"}, StoreChoice.MEMORY),
        ({"AGENT_TALK_STORE": "dynamodb", "HYPR_MODE": "production"}, StoreChoice.DYNAMODB),
        ({"AGENT_TALK_STORE": "micro"} | DIRECT, StoreChoice.MICRO),
        ({"AGENT_TALK_STORE": "micro"} | PLATFORM, StoreChoice.MICRO),
    ],
)
def test_store_is_named_or_follows_from_micro(env: dict[str, str], store: StoreChoice) -> None:
    """AGENT_TALK_STORE wins."""
    assert Settings.from_env(env).store is store
    assert chosen_store(env) is store


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"AGENT_TALK_STORE": "micro"}, ["HYPR_URL", "HYPERMICRO_API_KEY", "HYPR_PLATFORM_URL", "HYPR_APP_SLUG"]),
        ({"HYPR_MODE": "production"}, ["HYPR_URL", "HYPERMICRO_API_KEY", "HYPR_PLATFORM_URL", "HYPR_APP_SLUG"]),
        ({"HYPR_URL": "http://micro.example.org"}, ["HYPERMICRO_API_KEY is missing"]),
        ({"HYPERMICRO_API_KEY": "k"}, ["HYPR_URL is missing"]),
        ({"AGENT_TALK_STORE": "micro", "HYPR_APP_SLUG": "app"}, ["HYPR_PLATFORM_URL is missing"]),
        (DIRECT | PLATFORM, ["contradict"]),
        (
            {"HYPR_PLATFORM_URL": "https://platform.example.org", "HYPR_APP_SLUG": "app"},
            ["need AGENT_TALK_STORE=micro"],
        ),
        (DIRECT | {"HYPERMICRO_API_KEY": "a key"}, ["HYPERMICRO_API_KEY has characters"]),
        (DIRECT | {"HYPR_URL": "micro.example.org"}, ["HYPR_URL must be an absolute"]),
        (DIRECT | {"HYPR_URL": "http://micro.example.org:99999"}, ["HYPR_URL must be an absolute"]),
    ],
)
def test_settings_need_one_whole_way_to_micro(env: dict[str, str], named: list[str]) -> None:
    """The error names missing and contradictory settings."""
    told = problem(env)
    assert [name for name in named if name not in told] == []


def test_settings_hide_the_key_of_micro() -> None:
    """The settings' repr does not contain the key."""
    assert "k3y-of-micro" not in repr(Settings.from_env(DIRECT | {"HYPERMICRO_API_KEY": "k3y-of-micro"}))


def test_chosen_store_is_memory_when_unknown() -> None:
    """The health route answers even if the chosen store is unknown."""
    assert chosen_store({"AGENT_TALK_STORE": "postgres"}) is StoreChoice.MEMORY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_TALK_STORE", "postgres"),
        ("AGENT_TALK_STORE", "Memory"),
        ("AGENT_TALK_ENV", "prod"),
        ("LOG_LEVEL", "info"),
        ("LOG_LEVEL", "TRACE"),
        ("METRICS", "true"),
        *(
            (name, value)
            for name in (
                "FAILED_LOGINS_PER_ACCOUNT",
                "FAILED_LOGINS_PER_ADDRESS",
                "SIGNUPS_PER_ADDRESS",
                "DEMOS_PER_ADDRESS",
            )
            for value in ("0", "-1", "1.5", "ten", "²", " 5", "1000000000", "9" * 5000)
        ),
        ("SESSION_SECRET", "x" * 31),
        ("PUBLIC_URL", "api.example.org"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://example.org?a=b"),
        ("PUBLIC_URL", "https://[example"),
        ("PUBLIC_URL", "https://localhost:99999"),
        ("PUBLIC_URL", "https://localhost:port"),
        ("PUBLIC_URL", "https://:7070"),
        ("PUBLIC_URL", "https://someone:secret@example.org"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "example.org"),
        ("CORS_ORIGINS", "https://example.org/path"),
        ("CORS_ORIGINS", "https://good.example.org,null"),
        ("CORS_ORIGINS", "https://[example"),
    ],
)
def test_settings_refuse_wrong_values_by_name(name: str, value: str) -> None:
    """Each variable with a fixed form is checked, and the problem names it."""
    assert name in problem({name: value})


def test_settings_show_no_password_of_a_url() -> None:
    assert "secret" not in problem(DIRECT | {"HYPR_URL": "http://someone:secret@micro.example.org"})


def test_session_secret_is_measured_in_bytes() -> None:
    """16 letters of two bytes are enough."""
    assert Settings.from_env({"SESSION_SECRET": "é" * 16}).session_secret == "é" * 16


@pytest.mark.parametrize("name", ["SESSION_SECRET", "PUBLIC_URL"])
def test_settings_require_secret_and_url_in_production(name: str) -> None:
    """Defaults serve a laptop alone."""
    assert name in problem({key: value for key, value in PRODUCTION.items() if key != name})


def test_settings_refuse_the_known_secret_in_production() -> None:
    """The known secret is in the source, so production refuses it."""
    assert "SESSION_SECRET" in problem(PRODUCTION | {"SESSION_SECRET": DEVELOPMENT_SECRET})


def test_settings_take_a_whole_production() -> None:
    """Complete settings of production give no warning."""
    settings = Settings.from_env(PRODUCTION | LAMBDA)
    assert (settings.production, settings.store, settings.warnings) == (True, StoreChoice.DYNAMODB, ())


@pytest.mark.parametrize(
    "env",
    [
        {"SESSION_SECRET": SECRET},
        {"AGENT_TALK_ENV": "production", "SESSION_SECRET": SECRET, "PUBLIC_URL": "https://x.org"},
    ],
)
def test_settings_refuse_an_unset_store_in_lambda(env: dict[str, str]) -> None:
    """All variables that would choose one are named."""
    told = problem(LAMBDA | env)
    assert all(name in told for name in ("AGENT_TALK_STORE", "HYPR_URL", "HYPERMICRO_API_KEY"))


def test_settings_take_memory_in_a_local_invocation() -> None:
    """IS_LOCAL marks an emulation."""
    assert Settings.from_env(LAMBDA | {"IS_LOCAL": "true"}).store is StoreChoice.MEMORY


def test_settings_refuse_memory_in_production_lambda() -> None:
    """Each container would lose its rows."""
    assert "AGENT_TALK_STORE=memory" in problem(PRODUCTION | LAMBDA | {"AGENT_TALK_STORE": "memory"})


def test_settings_warn_of_memory_in_lambda() -> None:
    """In development it serves, with a warning."""
    settings = Settings.from_env(LAMBDA | {"AGENT_TALK_STORE": "memory", "SESSION_SECRET": SECRET})
    assert settings.store is StoreChoice.MEMORY
    (warning,) = settings.warnings
    assert "AGENT_TALK_STORE=memory" in warning


@pytest.mark.parametrize("stage", ["development", "production"])
@pytest.mark.parametrize("secret", ["", DEVELOPMENT_SECRET])
def test_settings_refuse_the_known_secret_in_lambda(stage: str, secret: str) -> None:
    """Any reader of the source can sign with it, so no stage on a network serves with it."""
    env = PRODUCTION | LAMBDA | {"AGENT_TALK_ENV": stage, "SESSION_SECRET": secret}
    assert "SESSION_SECRET" in problem(env)


def test_settings_take_the_known_secret_on_a_laptop() -> None:
    """`make run` and `invoke local` need no secret."""
    for env in ({}, LAMBDA | {"IS_LOCAL": "true"}):
        assert Settings.from_env(env).session_secret == DEVELOPMENT_SECRET


@pytest.mark.parametrize(
    "weak",
    ["a" * 32, "ab" * 20, "correct horse " * 3, "0123456789abcdef" * 2, "1234567" + "1" * 30, "1234567890" * 3 + "12"],
)
def test_settings_refuse_a_weak_secret_in_production(weak: str) -> None:
    """A secret that repeats itself, or has few different characters, is found by trying."""
    assert "openssl" in problem(PRODUCTION | {"SESSION_SECRET": weak})
    assert Settings.from_env({"SESSION_SECRET": weak}).session_secret == weak


def test_settings_take_every_visible_character_in_a_key() -> None:
    """A header carries all of ASCII from `!` to `~`, both included."""
    key = "".join(map(chr, range(0x21, 0x7F)))
    assert Settings.from_env(DIRECT | {"HYPERMICRO_API_KEY": key}).store is StoreChoice.MICRO
    for character in (" ", "\x7f"):
        assert "HYPERMICRO_API_KEY has characters" in problem(DIRECT | {"HYPERMICRO_API_KEY": f"k{character}"})


@pytest.mark.parametrize(
    "strong",
    ["93846251740918273645018273645019", "8f5ab2a46f7c4c439d220d3a3cb2a111", "kq3J8d+0Zs1xYb7Qm2Vw9RtLp4Nc6Hf="],
)
def test_settings_take_a_random_secret_in_production(strong: str) -> None:
    """Digits, hexadecimal digits and base64 are all random enough at 32 characters."""
    assert Settings.from_env(PRODUCTION | {"SESSION_SECRET": strong}).session_secret == strong


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("PUBLIC_URL", {}),
        ("CORS_ORIGINS", {}),
        ("HYPR_URL", {"AGENT_TALK_STORE": "micro", "HYPERMICRO_API_KEY": "k"}),
        ("HYPR_PLATFORM_URL", {"AGENT_TALK_STORE": "micro", "HYPR_APP_SLUG": "app"}),
        ("ELEVENLABS_BASE_URL", {}),
        ("OPENAI_BASE_URL", {"OPENAI_API_KEY": "k"}),
    ],
)
def test_settings_refuse_plain_http_in_production(name: str, more: dict[str, str]) -> None:
    """Keys and sessions cross no network unencrypted."""
    assert name in problem(PRODUCTION | more | {name: "HTTP://micro.example.org"})
    assert Settings.from_env(PRODUCTION | more | {name: "https://micro.example.org"}).production
    development = PRODUCTION | more | {name: "http://micro.example.org", "AGENT_TALK_ENV": "development"}
    assert not Settings.from_env(development).production


def test_settings_take_plain_http_without_a_key() -> None:
    """Plain HTTP is accepted for a server of one's own without a key, since no key is sent."""
    settings = Settings.from_env(PRODUCTION | {"OPENAI_BASE_URL": "http://speech.internal/v1"})
    assert settings.speech.openai_base_url == "http://speech.internal/v1"


def test_settings_take_plain_http_on_a_private_network() -> None:
    """HYPR_PRIVATE_NETWORK=1 declares that only the functions reach the server."""
    private = PRODUCTION | DIRECT | {"AGENT_TALK_STORE": "micro", "HYPR_PRIVATE_NETWORK": "1"}
    assert Settings.from_env(private).hypr_url == "http://micro.example.org"
    assert any("HYPR_PRIVATE_NETWORK" in line for line in problems(private | {"HYPR_PRIVATE_NETWORK": "yes"}))


def test_the_slug_of_the_platform_is_in_no_repr() -> None:
    """The slug is the platform's only credential, so it is a secret."""
    assert "sl0g" not in repr(Settings.from_env(PLATFORM | {"HYPR_APP_SLUG": "sl0g"}))


def test_dynamodb_table_has_a_default_name() -> None:
    """The default is agent-talk, and DYNAMODB_TABLE replaces it."""
    assert Settings.from_env({}).dynamodb_table == "agent-talk"
    assert Settings.from_env({"DYNAMODB_TABLE": "Agent.Talk_2-x"}).dynamodb_table == "Agent.Talk_2-x"


@pytest.mark.parametrize("name", ["ab", "x" * 256, "a b c", "arn:aws:dynamodb:eu-west-1:1:table/t", "täble", "table\n"])
def test_settings_refuse_table_names_dynamodb_refuses(name: str) -> None:
    """The problem names the variable."""
    assert "DYNAMODB_TABLE" in problem({"DYNAMODB_TABLE": name})


@pytest.mark.parametrize("store", ["micro", "dynamodb"])
def test_settings_refuse_a_memory_file_with_another_store(store: str) -> None:
    """The problem names the file's variable and the store."""
    told = problem({"AGENT_TALK_STORE": store, "AGENT_TALK_MEMORY_FILE": "rows.json"} | DIRECT)
    assert "AGENT_TALK_MEMORY_FILE" in told
    assert store in told


def test_settings_report_all_problems_at_once() -> None:
    """One error contains all problems, each with its variable."""
    env = LAMBDA | {
        "AGENT_TALK_ENV": "production",
        "AGENT_TALK_STORE": "postgres",
        "CORS_ORIGINS": "*",
        "LOG_LEVEL": "LOUD",
        "DEMOS_PER_ADDRESS": "0",
        "SIGNUPS_PER_ADDRESS": "x",
    }
    told = problems(env)
    names = ["AGENT_TALK_STORE", "SESSION_SECRET", "PUBLIC_URL", "CORS_ORIGINS", "LOG_LEVEL", "DEMOS", "SIGNUPS"]
    for name in names:
        assert any(name in line for line in told), name
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    assert all(line in str(caught.value) for line in told)


def test_settings_hide_the_session_secret() -> None:
    """Neither the settings' repr nor a problem contains it."""
    canary = "canary-of-the-secret-in-the-settings"
    assert canary not in repr(Settings.from_env({"SESSION_SECRET": canary}))
    assert "short-canary" not in " ".join(problems({"SESSION_SECRET": "short-canary"}))
