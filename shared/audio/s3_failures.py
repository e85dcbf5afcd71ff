"""The errors of S3 and its SDK, and their meaning to the caller of a verb.

Every verb of the port may be repeated: a put writes only if the name is free, and a deletion of an absent object has no
effect. So a request is sent again whenever that may help, whether or not its outcome is known.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from botocore import exceptions as botocore

from shared import aws_failures as aws

BODY: Final = 300
"""Characters of an answer's text that an error keeps."""


class S3Fact(Enum):
    ABSENT = "no such object"
    TAKEN = "an object of this name is there"
    NO_SUCH_RANGE = "the object is shorter"
    FAILED = "the place failed"


@dataclass(frozen=True, kw_only=True)
class S3Meaning:
    what: str
    fact: S3Fact = S3Fact.FAILED
    again: bool = False
    """True if a repeat of the request may succeed in a moment."""


_ABSENT: Final = S3Meaning(what="there is no such object", fact=S3Fact.ABSENT)
_TAKEN: Final = S3Meaning(what="an object of this name is there", fact=S3Fact.TAKEN)
_SHORT: Final = S3Meaning(what="the object is shorter", fact=S3Fact.NO_SUCH_RANGE)
_BUSY: Final = S3Meaning(what="S3 asks to wait", again=True)
_BROKE: Final = S3Meaning(what="S3 failed", again=True)
_LOST: Final = S3Meaning(what="S3 did not answer", again=True)
_UNREACHED: Final = S3Meaning(what="S3 cannot be reached", again=True)
_DENIED: Final = S3Meaning(
    what="the credentials may not do this: check the role's rights on AUDIO_BUCKET (also to list it: without, an "
    "absent object is denied)"
)
_NO_BUCKET: Final = S3Meaning(what="there is no such bucket: check AUDIO_BUCKET")
_REGION: Final = S3Meaning(what="the bucket is in another region: check AUDIO_BUCKET and AWS_DEFAULT_REGION")
_CREDENTIALS: Final = S3Meaning(what="AWS does not know these credentials: check the function's role")
_NONE: Final = S3Meaning(what="there are no AWS credentials, or no region")
_KEY: Final = S3Meaning(what="the bucket's encryption key cannot be used: check that it is enabled")
_UNEXPECTED: Final = S3Meaning(what="S3 does not take this request")

ANSWERED: Final[dict[str, S3Meaning]] = {
    **dict.fromkeys(("NoSuchKey", "NotFound", "404"), _ABSENT),
    **dict.fromkeys(("PreconditionFailed", "412"), _TAKEN),
    **dict.fromkeys(("InvalidRange", "416"), _SHORT),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted", "RequestTimeout"), _BUSY),
    **dict.fromkeys((*aws.BUSY_CODES, "ServiceUnavailable", "503"), _BUSY),
    **dict.fromkeys(("InternalError", "500"), _BROKE),
    **dict.fromkeys((*aws.DENIED_CODES, "403"), _DENIED),
    "NoSuchBucket": _NO_BUCKET,
    **dict.fromkeys(("PermanentRedirect", "301", "AuthorizationHeaderMalformed"), _REGION),
    "IllegalLocationConstraintException": _REGION,
    **dict.fromkeys(aws.UNKNOWN_CREDENTIAL_CODES, _CREDENTIALS),
    **dict.fromkeys(("KMS.DisabledException", "KMS.KMSInvalidStateException"), _KEY),
}
"""The meaning by the code of S3's answer; the code of an answer without a body is its status. A code that is not here
counts by its status: `by_status`."""

RAISED: Final[tuple[tuple[aws.Raised, S3Meaning], ...]] = (
    ((*aws.NO_REGION, *aws.NO_CREDENTIALS, botocore.ProfileNotFound), _NONE),
    (aws.UNREACHED, _UNREACHED),
    (aws.LOST, _LOST),
    ((botocore.BotoCoreError,), _UNEXPECTED),
)
"""The meaning by the exception that the SDK raises without an answer. The first row that fits counts."""


def meaning(exc: Exception) -> tuple[S3Meaning, str] | None:
    """Return the meaning of an exception of the SDK and its loggable part. None: it is not the SDK's."""
    if isinstance(exc, botocore.ClientError):
        answer = aws.read_answer(exc)
        said = f"{answer.code} {answer.message[:BODY]} (HTTP {answer.status})"
        return ANSWERED.get(answer.code) or by_status(answer.status), said
    for kinds, raised in RAISED:
        if isinstance(exc, kinds):  # its text may show a header, and so a credential
            return raised, type(exc).__name__
    return None


def by_status(status: int) -> S3Meaning:
    """Return the meaning of a status. 429 and 503 ask to wait, other 5xx failed, all others are unexpected."""
    if status in {429, 503}:
        return _BUSY
    return _BROKE if status >= 500 else _UNEXPECTED
