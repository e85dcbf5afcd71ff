"""The errors of answers and of network failures, row by row."""

import json
from collections.abc import Sequence

import pytest

from shared.micro_errors import (
    ANSWERS,
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
    WrongKey,
    refusal,
)
from shared.micro_wire import Answer

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


def reply(status: int, body: str, **headers: str) -> Answer:
    fields = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Answer(status=status, headers=fields, content=body.encode())


def meaning(response: Answer) -> MicroError:
    return refusal(response, redact=lambda text: text)


@pytest.mark.parametrize(("status", "text", "error"), ROWS)
def test_refusal_classifies_by_status_and_text(status: int, text: str, error: type[MicroError]) -> None:
    """Status and text of an answer determine its error."""
    got = meaning(reply(status, json.dumps({"ok": False, "error": text})))
    assert (type(got), got.status) == (error, status)


def test_answers_table_is_tested_row_by_row() -> None:
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
def test_refusal_is_unknown_when_the_answer_says_nothing(response: Answer, error: type[MicroError]) -> None:
    """An answer that does not reveal the effect has an unknown outcome."""
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
        (reply(429, "", date="Tue, 01 Dec 2026 10:00:30 GMT", retry_after="Tue, 01 Dec 2026 10:00:00 GMT"), 0.0),
        (reply(429, "", retry_after="Tue, 01 Dec 2026 10:00:30 GMT"), None),
        (reply(429, "", retry_after="soon"), None),
        (reply(429, "", date="Tue, 01 Dec 2026 10:00:00 GMT", retry_after="Tue, 01 Dec 2026 10:00:30 -0000"), None),
        (
            reply(429, "", date="Tue, 01 Dec 2026 10:00:00 GMT", retry_after="Tue, 01 Dec 2026 10:00:30 +" + "9" * 14),
            None,
        ),
    ],
)
def test_refusal_is_not_processed_when_asked_to_wait(response: Answer, retry_after_s: float | None) -> None:
    """An answer that requests a wait proves that the request was not processed."""
    got = meaning(response)
    assert isinstance(got, Overloaded)
    assert (got.retry_after_s, got.outcome) == (retry_after_s, Outcome.NOT_PROCESSED)


@pytest.mark.parametrize("status", [500, 502])
def test_other_failures_are_unknown_whatever_the_wait(status: int) -> None:
    """Only with 429 and 503 does `Retry-After` prove that the request was not processed."""
    assert type(meaning(reply(status, "{}", retry_after="3"))) is ServerFailed


def test_errors_with_unknown_outcome_are_three() -> None:
    """Only a request that was sent and not clearly answered has an unknown outcome."""
    unknown = {error for error in MicroError.__subclasses__() if error.outcome is Outcome.UNKNOWN}
    assert unknown == {NoAnswer, ForeignServer, ServerFailed}


def test_refusal_keeps_the_status_and_a_part_of_the_text() -> None:
    """An unknown answer keeps its status and the beginning of its error."""
    got = meaning(reply(500, '{"error": "' + "x" * 5000 + '"}'))
    assert got.status == 500
    assert len(got.said) == 300
    assert len(str(got)) < 400


@pytest.mark.parametrize("charset", ["base64", "rot13", "idna", "no-such"])
def test_refusal_does_not_show_a_foreign_body(charset: str) -> None:
    """A foreign body is in no error, whatever charset it names."""
    got = meaning(reply(404, "<html>\u00fc", content_type=f"text/html; charset={charset}"))
    assert isinstance(got, ForeignServer)
    assert got.said == f"8 bytes of text/html; charset={charset}"


@pytest.mark.parametrize(("status", "error"), [(404, ForeignServer), (499, ForeignServer), (500, ServerFailed)])
def test_refusal_reads_json_of_any_depth(status: int, error: type[MicroError]) -> None:
    """An unparsable answer is a foreign server's, and no defect of ours."""
    assert type(meaning(reply(status, "[" * 100_000))) is error
