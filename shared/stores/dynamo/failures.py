"""Classify the failures of DynamoDB and its SDK, and translate them to store errors.

| outcome | meaning | sent again |
|---|---|---|
| refused | the request was refused, or never sent: it had no effect | if waiting may help |
| unknown | the request was sent, and may have been carried out | if carrying it out twice is harmless |
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from botocore import exceptions as botocore

from shared import aws_failures as aws
from shared.stores.port import StoreError, StoreNotReady, StoreUnavailable

BODY: Final = 300
"""Characters of an answer's text that an error contains at most."""


class CallOutcome(Enum):
    REFUSED = "refused"
    UNKNOWN = "unknown"


class DynamoError(Exception):
    """A request failed. `code` is DynamoDB's name of the failure, or the SDK's class."""

    def __init__(self, code: str, message: str, meaning: "Meaning") -> None:
        super().__init__(f"{code}: {message[:BODY]}")
        self.code = code
        self.meaning = meaning


class ConditionFailed(DynamoError):
    """The row does not meet the request's condition. `item` is the stored row; None: absent.

    `repeated`: an earlier attempt of this request was not answered, and may itself have changed the row.
    """

    def __init__(self, message: str, item: dict[str, Any] | None) -> None:
        super().__init__("ConditionalCheckFailedException", message, UNEXPECTED)
        self.item = item
        self.repeated = False


class CallTimedOut(DynamoError):
    """The deadline passed. A request may have been waiting for its answer then."""

    def __init__(self, message: str) -> None:
        super().__init__("CallTimedOut", message, _LATE)


class AnswerCut(Exception):
    """An answer arrived that is not complete."""


class NotDynamo(Exception):
    """The server at the endpoint, which the text names, is not DynamoDB."""


@dataclass(frozen=True)
class Meaning:
    error: type[StoreError]
    what: str
    outcome: CallOutcome = CallOutcome.REFUSED
    again: bool = False
    """True if the same request may succeed after a wait."""


BUSY: Final = Meaning(StoreUnavailable, "DynamoDB has no capacity for this now", again=True)
_FAILED: Final = Meaning(StoreUnavailable, "DynamoDB failed", CallOutcome.UNKNOWN, again=True)
_LOST: Final = Meaning(StoreUnavailable, "DynamoDB did not answer", CallOutcome.UNKNOWN, again=True)
_FOREIGN: Final = Meaning(
    StoreNotReady, "the endpoint does not answer as DynamoDB does: check AWS_ENDPOINT_URL", CallOutcome.UNKNOWN
)
_UNREACHED: Final = Meaning(StoreUnavailable, "DynamoDB cannot be reached", again=True)
_NO_CREDENTIALS: Final = Meaning(
    StoreNotReady,
    "there are no AWS credentials: check the function's role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
)
_BAD_CREDENTIALS: Final = Meaning(
    StoreNotReady,
    "AWS does not know these credentials: check the function's role, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
    "AWS_SESSION_TOKEN and AWS_DEFAULT_REGION",
)
_BAD_CONFIG: Final = Meaning(
    StoreNotReady,
    "the AWS configuration cannot be used: check the AWS_… variables, AWS_CONFIG_FILE, AWS_PROFILE and what they name",
)
_FORBIDDEN: Final = Meaning(StoreNotReady, "the credentials may not do this: check the role's rights on DYNAMODB_TABLE")
_NO_TABLE: Final = Meaning(StoreNotReady, "there is no such table: check DYNAMODB_TABLE and AWS_DEFAULT_REGION")
_NO_KMS_KEY: Final = Meaning(StoreNotReady, "the table's encryption key cannot be used: check that it is enabled")
_NO_REGION: Final = Meaning(StoreNotReady, "no AWS region is set: set AWS_DEFAULT_REGION")
_BAD_REGION: Final = Meaning(StoreNotReady, "this is no AWS region: check AWS_DEFAULT_REGION")
_ADDRESS: Final = Meaning(StoreNotReady, "the endpoint is not a URL: check AWS_ENDPOINT_URL")
_LATE: Final = Meaning(StoreUnavailable, "DynamoDB did not answer in time", CallOutcome.UNKNOWN)
UNEXPECTED: Final = Meaning(StoreError, "DynamoDB does not take this request")
"""The meaning of a failure that matches no row of the tables."""

ANSWERED: Final[dict[str, Meaning]] = {
    **dict.fromkeys((*aws.BUSY_CODES, "ProvisionedThroughputExceededException", "LimitExceededException"), BUSY),
    **dict.fromkeys(("TransactionConflictException", "TransactionInProgressException"), BUSY),
    "ReplicatedWriteConflictException": BUSY,
    **dict.fromkeys(("InternalServerError", "InternalServerErrorException", "InternalFailure"), _FAILED),
    **dict.fromkeys(("ServiceUnavailable", "ServiceUnavailableException"), _FAILED),
    **dict.fromkeys((*aws.DENIED_CODES, "KMSAccessDeniedException"), _FORBIDDEN),
    **dict.fromkeys(("KMSDisabledException", "KMSInvalidStateException"), _NO_KMS_KEY),
    **dict.fromkeys(aws.UNKNOWN_CREDENTIAL_CODES, _BAD_CREDENTIALS),
    "ResourceNotFoundException": _NO_TABLE,
    **dict.fromkeys(("ValidationException", "ItemCollectionSizeLimitExceededException"), UNEXPECTED),
}
"""The meaning of each code of DynamoDB's answers. Other codes are classified by status: 5xx failed, 408 and 429 busy,
all others unexpected."""

TRY_LATER: Final = (408, 429)
"""Statuses of answers, not always DynamoDB's own, after which a repeat may succeed."""

RAISED: Final[tuple[tuple[aws.Raised, Meaning], ...]] = (
    ((botocore.NoRegionError,), _NO_REGION),
    ((botocore.InvalidRegionError,), _BAD_REGION),
    (aws.NO_CREDENTIALS, _NO_CREDENTIALS),
    (aws.BAD_CONFIG, _BAD_CONFIG),
    ((botocore.InvalidEndpointConfigurationError,), _ADDRESS),
    (aws.UNREACHED, _UNREACHED),
    ((*aws.LOST, AnswerCut), _LOST),
    ((NotDynamo,), _FOREIGN),
    ((botocore.BotoCoreError,), UNEXPECTED),
)
"""The meaning of each exception of a call without a valid answer. The first row that matches is used."""


def failure(exc: Exception) -> DynamoError | None:
    """Classify an exception of the SDK; None: it is not the SDK's."""
    if isinstance(exc, botocore.ClientError):
        return _answered(exc)
    if isinstance(exc, ValueError) and not isinstance(
        exc, botocore.BotoCoreError
    ):  # an environment variable that the SDK cannot parse
        is_address = any(word in str(exc) for word in ("endpoint", "URL", "Port"))
        return DynamoError("ValueError", str(exc), _ADDRESS if is_address else _BAD_CONFIG)
    if type(exc) is botocore.HTTPClientError:  # its text may contain a header, and so a credential
        return DynamoError("HTTPClientError", type(exc.kwargs.get("error")).__name__, _LOST)
    for kinds, meaning in RAISED:
        if isinstance(exc, kinds):
            return DynamoError(type(exc).__name__, str(exc), meaning)
    return None


def meaning(failed: Exception) -> StoreError | None:
    """Return the store error for a DynamoError. None: it is another exception."""
    return failed.meaning.error(f"{failed.meaning.what} ({failed})") if isinstance(failed, DynamoError) else None


def _answered(exc: botocore.ClientError) -> DynamoError:
    answer = aws.read_answer(exc)
    if answer.code == "ConditionalCheckFailedException":
        return ConditionFailed(answer.message, answer.item)
    meaning = ANSWERED.get(answer.code) or _by_status(answer.status)
    return DynamoError(answer.code, f"{answer.message} (HTTP {answer.status})", meaning)


def _by_status(status: int) -> Meaning:
    if status in TRY_LATER:
        return BUSY
    return _FAILED if status >= 500 else UNEXPECTED
