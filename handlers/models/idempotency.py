"""The header `Idempotency-Key`, and its row, which is read beside the check of the API key."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from shared.api_keys.minting import digest, is_api_key
from shared.memos.idempotency import Idempotent
from shared.tables import key_id
from shared.web.auth import RequestServices, given_token

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
LENGTH: Final = 255

_NAME: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)

REPLAYED_HEADER: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "headers": {
            REPLAYED: {
                "description": "`true`: an earlier request with this Idempotency-Key made the memo",
                "schema": {"type": "string", "enum": ["true"]},
            }
        }
    }
}
"""The header of replays in the OpenAPI document of a route."""


def _name(text: str) -> str:
    if len(text) > LENGTH:
        details = {"maxLength": LENGTH, "provided": len(text)}
        raise PydanticCustomError("VALIDATION_ERROR", f"must have at most {LENGTH} characters", details)
    if not _NAME.fullmatch(text):
        raise PydanticCustomError("VALIDATION_ERROR", f"must be 1 to {LENGTH} visible ASCII characters")
    return text


IdempotencyName = Annotated[str, AfterValidator(_name)]
"""A client's name for a request that it may repeat: 1 to 255 visible ASCII characters."""

_Name = Annotated[
    IdempotencyName | None,
    Header(
        alias=HEADER,
        description="Names this request: a repeat with the same value, API key and body answers the first result, and "
        "is not charged. 1 to 255 visible ASCII characters; kept at least 24 hours. Refusals and failures are not kept",
        json_schema_extra={"minLength": 1, "maxLength": LENGTH, "pattern": "^[!-~]+$"},
    ),
]


async def _given(request: Request, services: RequestServices, name: _Name = None) -> AsyncIterator[Idempotent | None]:
    """Begin to read the row of the header, which needs only the API key's id. None: no header."""
    token = given_token(request)
    if name is None or token is None or not is_api_key(token):
        yield None if name is None else Idempotent(name=name)
        return
    reading = asyncio.ensure_future(services.keyed_memos.read(key_id(digest(token)), name))
    try:
        yield Idempotent(name=name, reading=reading)
    finally:
        await asyncio.gather(reading, return_exceptions=True)  # the check may have failed before it was awaited


GivenIdempotencyKey = Annotated[Idempotent | None, Depends(_given)]
"""The header. It must precede the API key among a route's parameters, which are resolved in their order."""
