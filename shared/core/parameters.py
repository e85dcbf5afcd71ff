"""Secrets by reference: the environment names a parameter of AWS Systems Manager, which contains the secret.

`SESSION_SECRET_PARAMETER=/agent-talk/production/session-secret` replaces `SESSION_SECRET`. One request reads all named
parameters. It is signed here (Signature Version 4), with the credentials that Lambda sets in the environment: the SDK
takes longer to import than everything else together, and most deployments need it for nothing else.
"""

import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from shared.core.settings import SettingsError

SUFFIX: Final = "_PARAMETER"
SECRETS: Final = (
    "SESSION_SECRET",
    "HYPERMICRO_API_KEY",
    "HYPR_APP_SLUG",
    "ELEVENLABS_API_KEY",
    "OPENAI_API_KEY",
    "SMTP_PASSWORD",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "STRIPE_PRICE_PRO",
    "STRIPE_PRICE_ENTERPRISE",
)
"""The variables that the name of a parameter may replace: ten at most, since one request reads no more."""

ATTEMPT_S: Final = 2.0
"""Seconds that an attempt waits for the connection, and for each part of the answer."""

ATTEMPTS: Final = 2

PAUSE_S: Final = 0.5
"""Most seconds before the second attempt. The wait is a random part of them: many containers start at once."""

_TARGET: Final = "AmazonSSM.GetParameters"
_PASSING: Final = ("ThrottlingException", "InternalServerError")

FROM_A_VPC: Final = "from a VPC it is reached by an interface endpoint of com.amazonaws.<region>.ssm, or by a NAT"

Headers = Mapping[str, str]
Answer = tuple[int, bytes]
Post = Callable[[str, Headers, bytes], Answer]
"""Sends headers and body to a URL. Raises OSError if no answer comes."""

Sleep = Callable[[float], None]


def names_parameters(env: Mapping[str, str]) -> bool:
    """Return whether the environment names a parameter for `with_secrets` to read."""
    return any(env.get(secret + SUFFIX) for secret in SECRETS)


def with_secrets(env: Mapping[str, str], *, post: Post | None = None, sleep: Sleep = time.sleep) -> Mapping[str, str]:
    """Return the environment with each parameter's value under its secret's name.

    Sends no request if no parameter is named. Raises SettingsError if a name is wrong or a parameter cannot be read.
    """
    named = {secret: env[secret + SUFFIX] for secret in SECRETS if env.get(secret + SUFFIX)}
    if not named:
        return env
    problems = [f"{secret} and {secret}{SUFFIX} are both set" for secret in named if env.get(secret)]
    problems += [f"{secret}{SUFFIX} must begin with a slash" for secret, name in named.items() if name[0] != "/"]
    if problems:
        raise SettingsError(problems)
    values = _Parameters(env, post or _post, sleep).read(set(named.values()))
    missing = [
        f"{secret}{SUFFIX}: there is no SecureString {name}" for secret, name in named.items() if name not in values
    ]
    if missing:
        raise SettingsError(missing)
    kept = {name: value for name, value in env.items() if name.removesuffix(SUFFIX) not in named}
    return {**kept, **{secret: values[name] for secret, name in named.items()}}


class _Parameters:
    """The Parameter Store of one account and region."""

    def __init__(self, env: Mapping[str, str], post: Post, sleep: Sleep) -> None:
        self._env = env
        self._post = post
        self._sleep = sleep
        self._region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
        lacking = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not env.get(name)]
        if not self._region:
            lacking.append("AWS_REGION")
        if lacking:
            raise SettingsError([f"{name} is needed to read the parameters of secrets" for name in lacking])

    def read(self, names: Iterable[str]) -> dict[str, str]:
        """Return the SecureStrings among these, by name. Raises SettingsError if they cannot be read."""
        body = json.dumps({"Names": sorted(names), "WithDecryption": True}).encode()
        failure = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(PAUSE_S * random.random())  # noqa: S311 no secret depends on it
            try:
                status, answer = self._post(self._url, signed(self._env, self._url, self._region, body, _now()), body)
            except ValueError as exc:
                raise SettingsError([f"AWS_ENDPOINT_URL is not a URL: {exc}"]) from exc
            except OSError as exc:
                failure = f"the Parameter Store cannot be reached at {self._url} ({exc}); {FROM_A_VPC}"
                continue
            if status == 200:
                return _secure_strings(answer)
            failure = f"{status} {_error_code(answer)}"
            if status < 500 and _error_code(answer) not in _PASSING:
                break
        raise SettingsError([f"the parameters of secrets could not be read: {failure}"])

    @property
    def _url(self) -> str:
        given = self._env.get("AWS_ENDPOINT_URL_SSM") or self._env.get("AWS_ENDPOINT_URL")
        china = ".cn" if self._region.startswith("cn-") else ""
        return f"{(given or f'https://ssm.{self._region}.amazonaws.com{china}').rstrip('/')}/"


def signed(env: Mapping[str, str], url: str, region: str, body: bytes, now: datetime) -> Headers:
    """Return the headers of a request to the Parameter Store, with its signature."""
    at = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": urlsplit(url).netloc,
        "x-amz-date": at,
        "x-amz-target": _TARGET,
    }
    if env.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = env["AWS_SESSION_TOKEN"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"POST\n{urlsplit(url).path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{at[:8]}/{region}/ssm/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{env['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{env['AWS_ACCESS_KEY_ID']}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}


def _post(url: str, headers: Headers, body: bytes) -> Answer:
    from http.client import HTTPException  # noqa: PLC0415 needed only if a parameter is named
    from urllib.error import HTTPError  # noqa: PLC0415 likewise
    from urllib.request import ProxyHandler, Request, build_opener  # noqa: PLC0415 likewise

    try:
        # an endpoint of AWS, or the operator's
        request = Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310
        try:
            answered = build_opener(ProxyHandler({})).open(request, timeout=ATTEMPT_S)
        except HTTPError as error:
            answered = error
        with answered:
            return answered.status or 0, answered.read()
    except (HTTPException, ValueError) as exc:
        raise OSError(type(exc).__name__) from exc  # its text may contain a header, and so a credential


def _secure_strings(answer: bytes) -> dict[str, str]:
    """Return the values by name. Raises SettingsError if this is no answer of the Parameter Store."""
    try:
        found = json.loads(answer)["Parameters"]
        return {
            parameter["Name"]: str(parameter["Value"]) for parameter in found if parameter["Type"] == "SecureString"
        }
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        problem = "what answers is no Parameter Store: check AWS_ENDPOINT_URL"
        raise SettingsError([problem]) from exc


def _error_code(answer: bytes) -> str:
    """Return the error's code alone: the rest of the answer may repeat the request."""
    try:
        error: Any = json.loads(answer)
    except ValueError:
        return "without a reason"
    code = str(error.get("__type", "without a reason")) if isinstance(error, dict) else "without a reason"
    return code.rpartition("#")[2][:100]


def _now() -> datetime:
    return datetime.now(UTC)
