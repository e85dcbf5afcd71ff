"""Secrets by reference: one signed request reads the parameters that the environment names."""

import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from handlers import memos
from shared.core.parameters import ATTEMPTS, PAUSE_S, names_parameters, signed, with_secrets
from shared.core.settings import Settings, SettingsError, StoreChoice, chosen_store
from shared.services import Services, build_services
from shared.stores.memory.store import MemoryStore
from shared.stores.port import StoreUnavailable
from shared.web.function import Function
from shared.web.startup import Startup
from tests.events import http_event
from tests.support import BY_SES, SECRET

NAME = "/agent-talk/production/session-secret"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-role",
    "AWS_SESSION_TOKEN": "the-token-of-the-role",
    "AWS_REGION": "eu-central-1",
}
ENV = CREDENTIALS | {"SESSION_SECRET_PARAMETER": NAME, "LOG_LEVEL": "INFO"}


class Store:
    """A Parameter Store that answers from a dict, and records its requests."""

    def __init__(self, *, secure: Mapping[str, str], plain: Mapping[str, str] | None = None) -> None:
        self.secure = dict(secure)
        self._plain = plain or {}
        self.asked: list[tuple[str, Mapping[str, str], Any]] = []
        self.failures: list[tuple[int, bytes] | OSError] = []
        self.cuts_answers = False
        """Over HTTP, answers never end."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append((url, headers, json.loads(body)))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, OSError):
                raise failure
            return failure
        names = json.loads(body)["Names"]
        found = [
            {"Name": name, "Type": kind, "Value": values[name], "Version": 1}
            for kind, values in (("SecureString", self.secure), ("String", self._plain))
            for name in names
            if name in values
        ]
        missing = sorted({*names} - {*self.secure, *self._plain})
        answer = {"Parameters": found, "InvalidParameters": missing}
        return 200, json.dumps(answer).encode()


@pytest.fixture
def store() -> Store:
    return Store(secure={NAME: SECRET, "/micro": "k3y"})


def problems(env: Mapping[str, str], store: Store) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        with_secrets(env, post=store, sleep=lambda _: None)
    return caught.value.problems


def test_with_secrets_replaces_names_by_values(store: Store) -> None:
    """The variable that named the parameter is removed."""
    assert with_secrets(ENV, post=store) == CREDENTIALS | {"SESSION_SECRET": SECRET, "LOG_LEVEL": "INFO"}


def test_with_secrets_reads_all_by_one_request(store: Store) -> None:
    """One request reads all named parameters."""
    read = with_secrets(ENV | {"HYPERMICRO_API_KEY_PARAMETER": "/micro"}, post=store)
    assert (read["SESSION_SECRET"], read["HYPERMICRO_API_KEY"]) == (SECRET, "k3y")
    ((url, headers, body),) = store.asked
    assert url == "https://ssm.eu-central-1.amazonaws.com/"
    assert headers["x-amz-target"] == "AmazonSSM.GetParameters"
    assert body == {"Names": [NAME, "/micro"], "WithDecryption": True}


def test_with_secrets_reads_the_slug_of_the_platform(store: Store) -> None:
    """The slug opens all rows through the platform's proxy, so it can be stored like the other secrets."""
    env = ENV | {"AGENT_TALK_STORE": "micro", "HYPR_PLATFORM_URL": "https://platform.example.org"}
    settings = Settings.from_env(with_secrets(env | {"HYPR_APP_SLUG_PARAMETER": "/micro"}, post=store))
    assert settings.hypr_app_slug == "k3y"


@pytest.mark.parametrize("env", [{}, {"SESSION_SECRET": SECRET}, {"SESSION_SECRET_PARAMETER": ""}])
def test_with_secrets_asks_nothing_when_none_is_named(store: Store, env: dict[str, str]) -> None:
    """The environment is returned unchanged, without a request."""
    assert with_secrets(env, post=store) is env
    assert not names_parameters(env)
    assert store.asked == []


@pytest.mark.parametrize("token", ["", "the-token-of-the-role"])
@pytest.mark.parametrize("url", ["https://ssm.eu-central-1.amazonaws.com/", "http://127.0.0.1:4566/"])
def test_signed_signs_as_the_sdk_does(token: str, url: str) -> None:
    """botocore makes the same signature."""
    now, body = datetime.now(UTC).replace(microsecond=0), b'{"Names": ["/a"]}'
    own = signed(CREDENTIALS | {"AWS_SESSION_TOKEN": token}, url, "eu-central-1", body, now)
    theirs = AWSRequest(
        method="POST", url=url, data=body, headers={name: own[name] for name in ("content-type", "x-amz-target")}
    )
    theirs.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
    keys = Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], token or None)
    signer: Any = SigV4Auth(keys, "ssm", "eu-central-1")
    canonical = signer.canonical_request(_dated(theirs, own))
    theirs.headers["Authorization"] = signer._inject_signature_to_request(
        theirs, signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    ).headers["Authorization"]
    assert own["authorization"] == theirs.headers["Authorization"]


def _dated(request: Any, own: Mapping[str, str]) -> Any:
    request.headers["X-Amz-Date"] = own["x-amz-date"]
    if "x-amz-security-token" in own:
        request.headers["X-Amz-Security-Token"] = own["x-amz-security-token"]
    return request


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"AWS_REGION": "cn-north-1"}, "https://ssm.cn-north-1.amazonaws.com.cn/"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "https://ssm.us-west-2.amazonaws.com/"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, "https://ssm.eu-central-1.amazonaws.com/"),
        ({"AWS_ENDPOINT_URL": "http://localhost:4566"}, "http://localhost:4566/"),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_SSM": "http://b/"}, "http://b/"),
    ],
)
def test_with_secrets_asks_the_region_or_endpoint(store: Store, env: dict[str, str], url: str) -> None:
    """The most specific variable wins."""
    with_secrets(ENV | env, post=store)
    assert store.asked[0][0] == url


def test_with_secrets_names_all_problems_at_once(store: Store) -> None:
    """All problems are reported together, by the variables' names."""
    twice = ENV | {"SESSION_SECRET": SECRET, "HYPERMICRO_API_KEY_PARAMETER": "micro"}
    assert problems(twice, store) == [
        "SESSION_SECRET and SESSION_SECRET_PARAMETER are both set",
        "HYPERMICRO_API_KEY_PARAMETER must begin with a slash",
    ]
    bare = {"SESSION_SECRET_PARAMETER": NAME}
    assert [problem.split()[0] for problem in problems(bare, store)] == [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    ]
    assert store.asked == []


def test_with_secrets_refuses_missing_or_plain_parameters(store: Store) -> None:
    """Only a SecureString counts."""
    told = "SESSION_SECRET_PARAMETER: there is no SecureString /other"
    other = ENV | {"SESSION_SECRET_PARAMETER": "/other"}
    assert problems(other, store) == [told]
    assert problems(other, Store(secure={}, plain={"/other": SECRET})) == [told]


@pytest.mark.parametrize(
    "failure", [OSError("gone"), TimeoutError("late"), (500, b"<html>"), (400, b'{"__type": "ThrottlingException"}')]
)
def test_with_secrets_retries_what_passes(store: Store, failure: tuple[int, bytes] | OSError) -> None:
    """Throttling, server failures and lost answers are retried once, and then reported."""
    store.failures, waited = [failure], list[float]()
    assert with_secrets(ENV, post=store, sleep=waited.append)["SESSION_SECRET"] == SECRET
    assert [0 <= wait_s <= PAUSE_S for wait_s in waited] == [True]
    store.failures = [failure] * ATTEMPTS
    (problem,) = problems(ENV, store)
    assert problem.startswith("the parameters of secrets could not be read: ")


def test_with_secrets_reports_a_refusal_by_its_code(store: Store) -> None:
    """It reports the refusal's code, and does not retry."""
    store.failures = [(400, b'{"__type": "com.amazon#AccessDeniedException", "message": "the-token-of-the-role"}')]
    assert problems(ENV, store) == ["the parameters of secrets could not be read: 400 AccessDeniedException"]
    assert len(store.asked) == 1


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b"{}"])
def test_with_secrets_reports_a_foreign_answer(store: Store, answer: bytes) -> None:
    """An answer without a reason is reported by its status."""
    store.failures = [(404, answer)]
    assert problems(ENV, store) == ["the parameters of secrets could not be read: 404 without a reason"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b"{}", b'{"Parameters": [1]}', b'{"Parameters": [{}]}'])
def test_with_secrets_reports_a_foreign_endpoint(store: Store, answer: bytes) -> None:
    """A 200 that is no Parameter Store's is a problem."""
    store.failures = [(200, answer)]
    assert problems(ENV, store) == ["what answers is no Parameter Store: check AWS_ENDPOINT_URL"]


@pytest.mark.parametrize("url", ["localhost", "http://127.0.0.1:1", "http://a b"])
def test_with_secrets_reports_an_unreachable_endpoint(url: str) -> None:
    """The report contains the remedy for a function in a VPC."""
    with pytest.raises(
        SettingsError, match=r"could not be read: the Parameter Store cannot be reached at .* from a VPC"
    ):
        with_secrets(ENV | {"AWS_ENDPOINT_URL": url}, sleep=lambda _: None)


def test_with_secrets_reports_an_endpoint_that_is_no_url(store: Store) -> None:
    """The problem names the variable."""
    (problem,) = problems(ENV | {"AWS_ENDPOINT_URL_SSM": "http://[::1"}, store)
    assert problem.startswith("AWS_ENDPOINT_URL is not a URL: ")


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"])
def test_with_secrets_shows_no_malformed_credential(name: str) -> None:
    """The problem does not contain it."""
    env = ENV | {name: "top\nsecret", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    with pytest.raises(SettingsError, match="ValueError") as caught:
        with_secrets(env, sleep=lambda _: None)
    assert "secret" not in str(caught.value).replace("the parameters of secrets", "")


def test_named_micro_key_chooses_micro() -> None:
    """The name of its parameter suffices to choose HYPR Micro."""
    assert chosen_store({"HYPERMICRO_API_KEY_PARAMETER": "/micro"}) is StoreChoice.MICRO


@pytest.fixture
def served(store: Store) -> Iterator[str]:
    """Serve the store over HTTP, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, answer = store("", dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            if store.cuts_answers:
                self.send_header("Content-Length", str(len(answer) + 1))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_with_secrets_asks_over_http(store: Store, served: str) -> None:
    """A signed request and a refusal work over HTTP, with a server on loopback."""
    env = ENV | {"AWS_ENDPOINT_URL": served}
    assert with_secrets(env)["SESSION_SECRET"] == SECRET
    ((_, headers, _),) = store.asked
    assert re.search("Signature=[0-9a-f]{64}$", headers["Authorization"])
    store.failures = [(400, b'{"__type": "AccessDeniedException"}')]
    with pytest.raises(SettingsError, match="400 AccessDeniedException"):
        with_secrets(env)


def test_with_secrets_asks_no_proxy(store: Store, served: str) -> None:
    """A proxy of the environment would see the secrets: requests go to the endpoint itself."""
    script = (
        "import json, sys; from shared.core.parameters import with_secrets as read; print(read(json.load(sys.stdin)))"
    )
    ran = subprocess.run(  # noqa: S603 ours
        [sys.executable, "-c", script],
        input=json.dumps(ENV | {"AWS_ENDPOINT_URL": served}),
        env={"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert SECRET in ran.stdout, ran.stderr
    assert len(store.asked) == 1


@pytest.mark.parametrize("status", [200, 500])
def test_with_secrets_retries_a_cut_answer(store: Store, served: str, status: int) -> None:
    """A truncated answer is retried, and reported if it persists."""
    store.cuts_answers = True
    store.failures = [(status, b"{}")] * ATTEMPTS
    with pytest.raises(SettingsError, match=r"cannot be reached at \S+ \(IncompleteRead\)"):
        with_secrets(ENV | {"AWS_ENDPOINT_URL": served}, sleep=lambda _: None)
    assert len(store.asked) == ATTEMPTS


def test_with_secrets_logs_no_request(store: Store, served: str, caplog: pytest.LogCaptureFixture) -> None:
    """Even at DEBUG nothing is logged, so no log contains a name or a value."""
    caplog.set_level(logging.DEBUG)
    with_secrets(ENV | {"AWS_ENDPOINT_URL": served})
    assert caplog.records == []
    assert len(store.asked) == 1


def in_production(url: str, *, fails: int) -> Function:
    """Return a function whose store fails `fails` times. Its secret is in the Parameter Store at `url`."""
    opened: list[Services] = []

    class Failing(MemoryStore):
        async def verify(self, tables: Any) -> None:
            if len(opened) <= fails:
                raise StoreUnavailable("down")
            await super().verify(tables)

    def build(settings: Settings) -> Services:
        assert settings.session_secret == SECRET
        opened.append(Services.on(Failing(), settings))
        return opened[-1]

    environ = ENV | {
        **BY_SES,
        "AGENT_TALK_ENV": "production",
        "AGENT_TALK_STORE": "memory",
        "PUBLIC_URL": "https://api.example.org",
        "CORS_ORIGINS": "https://app.example.org",
        "AWS_ENDPOINT_URL": url,
    }
    return memos.handler.with_environment(environ, build)


def test_startup_reads_secrets_once(store: Store, served: str) -> None:
    """Secrets are read at the first event, once, also if the store then fails."""
    function = in_production(served, fails=1)
    event = http_event("GET", "/api/v1/voices", headers={"origin": "https://app.example.org"})
    try:
        assert store.asked == []
        answers = [function(event, None) for _ in range(3)]
    finally:
        function.close()
    assert [answer["statusCode"] for answer in answers] == [503, 200, 200]
    assert len(store.asked) == 1
    assert {answer["headers"]["access-control-allow-origin"] for answer in answers} == {"https://app.example.org"}


def test_startup_is_503_when_secrets_cannot_be_read(store: Store, served: str) -> None:
    """The next event retries."""
    function = in_production(served, fails=0)
    store.failures = [(400, b'{"__type": "AccessDeniedException"}')]
    try:
        answers = [function(http_event("GET", "/api/v1/voices"), None) for _ in range(2)]
    finally:
        function.close()
    assert [answer["statusCode"] for answer in answers] == [503, 200]


def test_startup_reads_a_wrong_secret_again(store: Store, served: str) -> None:
    """After a wrong secret is corrected, the next event serves."""
    function = in_production(served, fails=0)
    store.secure[NAME] = "too short"
    try:
        refused = function(http_event("GET", "/api/v1/voices"), None)
        store.secure[NAME] = SECRET
        answered = function(http_event("GET", "/api/v1/voices"), None)
    finally:
        function.close()
    assert (refused["statusCode"], answered["statusCode"]) == (503, 200)


def test_startup_answers_503_when_secrets_come_too_late() -> None:
    """An event does not wait for the parameters of secrets beyond its bound: it is answered 503."""
    released = threading.Event()

    def read_secrets(environ: Mapping[str, str]) -> Mapping[str, str]:
        released.wait()
        return environ

    startup = Startup(ENV, build_services, read_secrets=read_secrets, secrets_s=0.05)
    function = memos.handler.with_environment(ENV, startup=startup)
    try:
        assert function(http_event("GET", "/api/v1/voices"), None)["statusCode"] == 503
    finally:
        released.set()
        function.close()


def test_parameters_import_no_client() -> None:
    """No HTTP client is imported until a parameter is named."""
    loaded = "import shared.core.parameters, sys; print({'boto3', 'botocore', 'urllib.request'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)  # noqa: S603 ours
    assert ran.stdout.strip() == "set()"
