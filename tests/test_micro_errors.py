"""What answers and failures of the network mean, row by row."""

from collections.abc import Sequence

import httpx
import pytest

from shared.micro_errors import (
    ANSWERS,
    SENDING,
    DatabaseExists,
    DatabasesFull,
    DocumentExists,
    DocumentNotFound,
    ForeignServer,
    MicroError,
    NoAnswer,
    Outcome,
    Overloaded,
    Rejected,
    ServerFailed,
    Unreachable,
    WrongKey,
    refusal,
    unsent_or_unanswered,
)

ROWS: Sequence[tuple[int, str, type[MicroError]]] = (
    (400, "Invalid JSON body", Rejected),
    (401, "Invalid API key", WrongKey),
    (403, "Forbidden", WrongKey),
    (404, "Document with key 'a\nb' not found", DocumentNotFound),
    (404, "Not Found", ForeignServer),
    (405, "Method Not Allowed", ForeignServer),
    (409, "Document with key 'x' already exists", DocumentExists),
    (413, "Payload Too Large", Rejected),
    (500, "Database 'x' already exists", DatabaseExists),
    (500, "MDB_DBS_FULL: Environment maxdbs limit reached (increase your maxDbs option)", DatabasesFull),
    (500, "Key size is larger than the maximum key size (1978)", Rejected),
)


def reply(status: int, body: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, text=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def meaning(response: httpx.Response) -> MicroError:
    return refusal(response, redact=lambda text: text)


@pytest.mark.parametrize(("status", "text", "error"), ROWS)
def test_an_answer_means_what_its_status_and_text_say(status: int, text: str, error: type[MicroError]) -> None:
    got = meaning(httpx.Response(status, json={"ok": False, "error": text}))
    assert (type(got), got.status) == (error, status)


def test_every_row_of_the_answers_has_a_test() -> None:
    assert [(status, error) for status, _, error in ROWS] == [(status, error) for status, _, error in ANSWERS]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (reply(500, '{"ok": false, "error": "disk trouble"}'), ServerFailed),
        (reply(409, '{"ok": false, "error": "something else"}'), ServerFailed),
        (reply(503, '{"error": "Service Unavailable"}'), ServerFailed),
        (reply(502, "<html>Bad Gateway</html>"), ServerFailed),
        (reply(401, "<html>Who are you?</html>"), ForeignServer),
        (reply(404, "<html>Nothing here</html>"), ForeignServer),
        (reply(302, "", location="http://elsewhere/"), ForeignServer),
        (reply(404, '["error"]'), ForeignServer),
    ],
)
def test_an_answer_that_says_nothing_sure_leaves_the_outcome_unknown(
    response: httpx.Response, error: type[MicroError]
) -> None:
    got = meaning(response)
    assert (type(got), got.outcome) == (error, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("response", "retry_after_s"),
    [
        (reply(429, "slow down"), None),
        (reply(429, "{}", retry_after="3"), 3.0),
        (reply(503, "<html>", retry_after="0"), 0.0),
        (
            reply(429, "", date="Tue, 01 Dec 2026 10:00:00 GMT", retry_after="Tue, 01 Dec 2026 10:00:30 GMT"),
            30.0,
        ),
        (reply(429, "", retry_after="Tue, 01 Dec 2026 10:00:30 GMT"), None),
        (reply(429, "", retry_after="soon"), None),
        (
            reply(429, "", date="Tue, 01 Dec 2026 10:00:00 GMT", retry_after="Tue, 01 Dec 2026 10:00:30 +" + "9" * 14),
            None,
        ),
    ],
)
def test_a_server_that_asks_to_wait_has_not_taken_the_request(
    response: httpx.Response, retry_after_s: float | None
) -> None:
    got = meaning(response)
    assert isinstance(got, Overloaded)
    assert (got.retry_after_s, got.outcome) == (retry_after_s, Outcome.NOT_PROCESSED)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ConnectTimeout("x"), Unreachable),
        (httpx.PoolTimeout("x"), Unreachable),
        (httpx.ProxyError("x"), Unreachable),
        (httpx.UnsupportedProtocol("x"), Unreachable),
        (httpx.InvalidURL("x"), Unreachable),
        (UnicodeError("x"), Unreachable),
        (httpx.ReadError("x"), NoAnswer),
        (httpx.WriteError("x"), NoAnswer),
        (httpx.ReadTimeout("x"), NoAnswer),
        (httpx.RemoteProtocolError("x"), NoAnswer),
        (httpx.DecodingError("x"), NoAnswer),
        (TimeoutError("x"), NoAnswer),
    ],
)
def test_a_failure_of_sending_says_whether_the_request_can_have_arrived(
    raised: Exception, error: type[MicroError]
) -> None:
    assert type(unsent_or_unanswered(raised)) is error
    assert any(isinstance(raised, kind) for kind, _ in SENDING)


def test_only_what_was_sent_and_not_clearly_answered_has_an_unknown_outcome() -> None:
    unknown = {error for error in MicroError.__subclasses__() if error.outcome is Outcome.UNKNOWN}
    assert unknown == {NoAnswer, ForeignServer, ServerFailed}


def test_an_unknown_answer_keeps_its_status_and_the_beginning_of_its_error() -> None:
    got = meaning(reply(500, '{"error": "' + "x" * 5000 + '"}'))
    assert got.status == 500
    assert len(got.said) == 300
    assert len(str(got)) < 400


@pytest.mark.parametrize("charset", ["base64", "rot13", "idna", "no-such"])
def test_a_foreign_body_is_not_shown_whatever_charset_it_names(charset: str) -> None:
    got = meaning(reply(404, "<html>\u00fc", content_type=f"text/html; charset={charset}"))
    assert isinstance(got, ForeignServer)
    assert got.said == f"8 bytes of text/html; charset={charset}"
