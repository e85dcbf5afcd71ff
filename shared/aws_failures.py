"""Groups of the exceptions of boto3 and the error codes of AWS, for adapters that translate them to their own errors.

Each group is a row of an adapter's table: exceptions for `isinstance`, codes for `dict.fromkeys`.
"""

from dataclasses import dataclass
from typing import Any, Final

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

NO_CREDENTIALS: Final = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.SSOError,
    botocore.TokenRetrievalError,
    botocore.MetadataRetrievalError,
)
NO_REGION: Final = (botocore.NoRegionError, botocore.InvalidRegionError)
BAD_CONFIG: Final = (
    botocore.ProfileNotFound,
    botocore.ConfigNotFound,
    botocore.ConfigParseError,
    botocore.InvalidConfigError,  # also for profiles that refer to one another in a circle
    botocore.InvalidProxiesConfigError,
    botocore.InvalidDefaultsMode,
    botocore.InvalidRetryConfigurationError,
)
UNREACHED: Final = (botocore.ConnectTimeoutError, botocore.EndpointConnectionError, botocore.ProxyConnectionError)
"""The request was not sent. A table must have this group before LOST, of which these are special cases."""
LOST: Final = (
    botocore.HTTPClientError,  # also if there was no answer in time, or the connection was closed
    botocore.SSLError,
    botocore.IncompleteReadError,
    botocore.ChecksumError,
    botocore.FlexibleChecksumError,
    ResponseParserError,
)
"""The request may have been carried out."""

BUSY_CODES: Final = (
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
)
DENIED_CODES: Final = ("AccessDeniedException", "AccessDenied", "AllAccessDisabled", "OptInRequired")
UNKNOWN_CREDENTIAL_CODES: Final = (
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "AuthFailure",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
)
"""AWS answers one of these if a key is wrong or has expired, or if the signature's time is wrong."""

Raised = tuple[type[Exception], ...]


@dataclass(frozen=True, kw_only=True)
class AwsAnswer:
    """A service's answer that is an error. `status` is HTTP's; 0: unknown."""

    code: str
    message: str
    status: int
    item: dict[str, Any] | None
    """DynamoDB's item that did not meet a condition; None: there is none, or it was not requested."""


def read_answer(exc: botocore.ClientError) -> AwsAnswer:
    answer: dict[str, Any] = dict(exc.response)
    error = answer.get("Error", {})
    return AwsAnswer(
        code=error.get("Code", ""),
        message=error.get("Message", ""),
        status=answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        item=answer.get("Item") or None,
    )
