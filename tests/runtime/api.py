"""Lambda's Runtime API on the loopback interface, and its runtime client as a child process.

    with RuntimeApi() as api, Runtime(api, bundle=Path("build/local"), handler="handlers.memos.handler") as runtime:
        print(runtime.ready().init_s)
        answer = api.invoke(event)

`awslambdaric` is the client of Lambda's own Python images: it requests the next event, calls the handler, posts the
answer. The child can import the bundle, Lambda's own packages and the standard library, and nothing else of this
environment, so that a package missing in the bundle fails. This module needs the standard library alone.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

START_S: Final = 60.0
"""Seconds that no start exceeds. Lambda's own limit of an initialisation is 10 s."""

FUNCTION_ARN: Final = "arn:aws:lambda:eu-central-1:123456789012:function:agent-talk-test"
PREFIX: Final = "/2018-06-01/runtime"

LAMBDAS_OWN: Final = ("awslambdaric", "simplejson", "snapshot-restore-py")
"""The packages of Lambda's image that every handler needs, beside the standard library."""

BOTO3: Final = ("boto3", "botocore", "jmespath", "s3transfer", "urllib3", "python-dateutil", "six")
"""boto3 and its requirements, which Lambda's image contains too, so the bundle does not."""


class TimedOut(Exception):
    """No answer arrived in time. Lambda would kill the process, and start another for the next event."""


class FailedToStart(Exception):
    """The process ended, or reported an initialisation error, before it requested an event."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        super().__init__(f"{report.get('errorType')}: {report.get('errorMessage')}")
        self.report = report


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of one event. Exactly one of `value` and `error` is set, unless the handler returned null."""

    value: Any
    error: Mapping[str, Any] | None
    took_s: float
    """Seconds from sending the event to receiving the answer's last byte."""

    @property
    def status(self) -> int:
        status: int = self.value["statusCode"]
        return status

    @property
    def body(self) -> Any:
        return json.loads(self.value["body"])


@dataclass(frozen=True, kw_only=True)
class _Posted:
    kind: str
    document: Any
    at_s: float


class RuntimeApi:
    """The Runtime API of one execution environment: one event at a time."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[str, bytes, float]] = queue.SimpleQueue()
        self._posted: queue.SimpleQueue[_Posted] = queue.SimpleQueue()
        self._asked = threading.Event()
        self.asked_at_s = 0.0
        """The monotonic time of the runtime's first request for an event: the end of its initialisation."""

        self.init_error: Mapping[str, Any] | None = None
        self._closing = False
        self._sent_at_s = 0.0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        """Return the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any, *, timeout_s: float = 15.0) -> Answer:
        """Send one event, and return its answer. Raises TimedOut; then end the runtime, as Lambda does."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        deadline_s = time.time() + timeout_s
        self._events.put((str(uuid.uuid4()), body, deadline_s))
        try:
            posted = self._posted.get(timeout=timeout_s)
        except queue.Empty as exc:
            raise TimedOut(f"no answer in {timeout_s} s") from exc
        failed = posted.kind == "error"
        return Answer(
            value=None if failed else posted.document,
            error=posted.document if failed else None,
            took_s=posted.at_s - self._sent_at_s,
        )

    def started(self, timeout_s: float) -> bool:
        """Wait until the runtime has requested an event, or reported an initialisation error."""
        return self._asked.wait(timeout_s)

    def reset(self) -> None:
        """Prepare for the next process on the same API."""
        self._asked.clear()
        self.init_error = None
        self._events = queue.SimpleQueue()
        self._posted = queue.SimpleQueue()

    def next_event(self) -> tuple[str, bytes, float] | None:
        """Block until there is an event. Returns None if the API is closed first."""
        if not self._asked.is_set():
            self.asked_at_s = time.monotonic()
            self._asked.set()
        events = self._events
        while not self._closing and events is self._events:
            try:
                return events.get(timeout=0.5)
            except queue.Empty:
                continue
        return None

    def sent(self) -> None:
        self._sent_at_s = time.monotonic()

    def posted(self, kind: str, body: bytes) -> None:
        at_s = time.monotonic()
        document = json.loads(body or b"null")
        if kind == "init":
            self.init_error = document
            self._asked.set()
        else:
            self._posted.put(_Posted(kind=kind, document=document, at_s=at_s))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api

    def handle_error(self, *_: object) -> None:
        """Ignore the error: a killed runtime breaks its connection."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement
    wbufsize = -1  # head and body leave together

    def do_GET(self) -> None:
        if self.path != f"{PREFIX}/invocation/next":
            self._answer(404, b"{}")
            return
        event = self.server.api.next_event()
        if event is None:
            self.close_connection = True
            return
        request_id, body, deadline_s = event
        self.server.api.sent()
        self._answer(
            200,
            body,
            {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline_s * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
            },
        )

    def do_POST(self) -> None:
        body = self._body()
        if self.path == f"{PREFIX}/init/error":
            self.server.api.posted("init", body)
        elif self.path.startswith(f"{PREFIX}/invocation/"):
            self.server.api.posted(self.path.rpartition("/")[2], body)
        self._answer(202, b'{"status":"OK"}')

    def log_message(self, *_: object) -> None:
        """Log nothing: the runtime's own output suffices."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


@dataclass(frozen=True, kw_only=True)
class Started:
    init_s: float
    """Seconds from the process's creation to its first request for an event, interpreter included."""


class Runtime:
    """`awslambdaric` on a bundle. Its output is kept in `log`, line by line."""

    def __init__(
        self,
        api: RuntimeApi,
        *,
        bundle: Path,
        handler: str,
        env: Mapping[str, str] | None = None,
        own: Path | None = None,
    ) -> None:
        """`own` is the directory of Lambda's own packages; `lambdas_own_packages` makes one."""
        self.api = api
        self.log: list[str] = []
        self._bundle = bundle.resolve()
        self._handler = handler
        self._env = env or {}
        self._own = (own or self._bundle.parent / "runtime").resolve()
        self._child: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        self._began_at_s = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        self.api.reset()
        self._began_at_s = time.monotonic()
        self._child = subprocess.Popen(  # noqa: S603 our own interpreter
            [sys.executable, "-S", "-m", "awslambdaric", self._handler],
            cwd=self._bundle,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{self._bundle}{os.pathsep}{self._own}",
                "PYTHONDONTWRITEBYTECODE": "1",  # as in Lambda, where the bundle cannot be written to
                "PYTHONUNBUFFERED": "1",
                "LAMBDA_TASK_ROOT": str(self._bundle),
                "AWS_LAMBDA_RUNTIME_API": self.api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "agent-talk-test",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/agent-talk-test",
                "AWS_LAMBDA_LOG_STREAM_NAME": "test",
                "AWS_REGION": "eu-central-1",
                "TZ": ":UTC",
                **self._env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._child,), daemon=True)
        self._reader.start()

    def ready(self) -> Started:
        """Wait until the runtime requests an event. Raises FailedToStart."""
        assert self._child is not None
        ends_s = time.monotonic() + START_S
        while not self.api.started(0.05):
            if self._child.poll() is not None or time.monotonic() > ends_s:
                raise FailedToStart({"errorType": "Runtime.ExitError", "errorMessage": "\n".join(self.log)})
        if self.api.init_error is not None:
            raise FailedToStart(self.api.init_error)
        return Started(init_s=self.api.asked_at_s - self._began_at_s)

    def freeze(self) -> None:
        """Stop the process, as Lambda does between two events."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._reader.join()
            self._child = None

    def memory_mb(self) -> float:
        """Return the peak of its memory so far, as the kernel counts it."""
        assert self._child is not None
        for line in Path(f"/proc/{self._child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise LookupError("the kernel tells no peak")

    def cpu_s(self) -> float:
        """Return its processor time so far, to a hundredth."""
        assert self._child is not None
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield the log lines in JSON, without metrics; they are complete once the process has ended."""
        for line in self.log:
            if line.startswith("{") and "_aws" not in (told := json.loads(line)):
                yield told

    def _read(self, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                self.log.append(line.rstrip("\n"))

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)


def lambdas_own_packages(directory: Path, names: tuple[str, ...] = LAMBDAS_OWN + BOTO3) -> Path:
    """Make a directory with links to these installed packages alone. Returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if not file.parts[0].startswith("..")}:
            link = directory / top
            if top != "__pycache__" and not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(Path(str(found.locate_file(top))).resolve())
    return directory
