"""What S3 and its SDK raise, and what it means to the caller of a verb.

Every verb of the port may be repeated: an object is written only where none is, and removing one twice removes it once.
So a request is sent again whenever that may help, whether or not its outcome is known.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

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
    """Whether the same request may fare better in a moment."""


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
    "NoSuchKey": _ABSENT,
    "404": _ABSENT,
    "NotFound": _ABSENT,
    "PreconditionFailed": _TAKEN,
    "412": _TAKEN,
    "InvalidRange": _SHORT,
    "416": _SHORT,
    "ConditionalRequestConflict": _BUSY,
    "OperationAborted": _BUSY,
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "RequestTimeout": _BUSY,
    "ServiceUnavailable": _BUSY,
    "503": _BUSY,
    "InternalError": _BROKE,
    "500": _BROKE,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "NoSuchBucket": _NO_BUCKET,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "RequestTimeTooSkewed": _CREDENTIALS,
    "KMS.DisabledException": _KEY,
    "KMS.KMSInvalidStateException": _KEY,
}
"""By the code of S3's answer; an answer without a body has its status for a code. One that is not here counts by its
status: 429 and 503 ask to wait, other 5xx failed, all else is unexpected."""

RAISED: Final[tuple[tuple[type[Exception], S3Meaning], ...]] = (
    (botocore.NoRegionError, _NONE),
    (botocore.InvalidRegionError, _NONE),
    (botocore.NoCredentialsError, _NONE),
    (botocore.PartialCredentialsError, _NONE),
    (botocore.CredentialRetrievalError, _NONE),
    (botocore.ProfileNotFound, _NONE),
    (botocore.ConnectTimeoutError, _UNREACHED),
    (botocore.EndpointConnectionError, _UNREACHED),
    (botocore.ProxyConnectionError, _UNREACHED),
    (botocore.HTTPClientError, _LOST),  # also no answer in time, and a connection that was closed
    (botocore.SSLError, _LOST),
    (botocore.IncompleteReadError, _LOST),
    (botocore.ChecksumError, _LOST),
    (botocore.FlexibleChecksumError, _LOST),
    (ResponseParserError, _LOST),
    (botocore.BotoCoreError, _UNEXPECTED),
)
"""By what the SDK raises when there is no answer. The first row that fits counts."""


def meaning(exc: Exception) -> tuple[S3Meaning, str] | None:
    """What an exception of the SDK means, and what a log may show of it; None: it is none of the SDK's."""
    if isinstance(exc, botocore.ClientError):
        answer: dict[str, Any] = dict(exc.response)
        code, said = answer.get("Error", {}).get("Code", ""), answer.get("Error", {}).get("Message", "")
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return ANSWERED.get(code) or by_status(status), f"{code} {said[:BODY]} (HTTP {status})"
    for kind, raised in RAISED:
        if isinstance(exc, kind):  # its text may show a header, and so a credential
            return raised, type(exc).__name__
    return None


def by_status(status: int) -> S3Meaning:
    if status in {429, 503}:
        return _BUSY
    return _BROKE if status >= 500 else _UNEXPECTED
