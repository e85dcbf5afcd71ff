"""HYPR Micro's rules: accepted requests, texts of refusals, and selection of ranges."""

import json
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from sortedcontainers import SortedDict

Rows = SortedDict[bytes, Any]
"""Values by the UTF-8 bytes of their keys: the server's order."""

MAX_LIMIT: Final = 10_000
MAX_KEY_BYTES: Final = 1978

_MISSING: Final = object()
_EXACT: Final = 1e21
"""The bound below which JavaScript writes whole numbers without an exponent."""


class Refused(Exception):
    """The request is refused with this answer, and has no effect."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def read_json(text: bytes) -> Any:
    """Parse JSON. Every number becomes a double, so it is rounded beyond 2**53. Raises ValueError."""
    return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_constant)


def read_body(text: bytes) -> Any:
    try:
        return read_json(text)
    except ValueError as exc:
        raise Refused(400, "Invalid JSON body") from exc


def check_name(name: str) -> None:
    if len(name) > 64:
        raise Refused(400, "Name must be 64 characters or less")
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", name):
        raise Refused(400, "Name can only contain letters, numbers, underscores, and hyphens")


def check_key(key: str) -> None:
    if error := _key_error(key):
        raise Refused(400, error)


def check_size(key: bytes) -> None:
    if len(key) > MAX_KEY_BYTES:
        raise Refused(500, f"Key size is larger than the maximum key size ({MAX_KEY_BYTES})")


def new_document(body: Any) -> tuple[str, Any]:
    fields = _object(body)
    key = fields.get("key", _MISSING)
    _refuse({"key": _key_error(key), "value": _value_error(fields)})
    return key, fields["value"]


def new_value(body: Any) -> Any:
    fields = _object(body)
    _refuse({"value": _value_error(fields)})
    return fields["value"]


def query_options(body: Any) -> Mapping[str, Any]:
    """Return the checked options of a query; a falsy body is an empty query."""
    options = {} if is_falsy(body) else _object(body)
    kinds = {"startKey": "string", "endKey": "string", "limit": "number", "prefix": "string", "reverse": "boolean"}
    kinds |= {"count": "boolean", "keysOnly": "boolean", "offset": "number"}
    errors: dict[str, str | None] = {}
    for name, kind in kinds.items():
        if name not in options:
            continue
        if kind_of(options[name]) != kind:
            errors[name] = f"Expected {kind}, received {kind_of(options[name])}"
        elif name == "limit":
            errors[name] = limit_error(options[name])
        elif name == "offset":
            errors[name] = _whole(name, options[name]) or ("Offset must be non-negative" if options[name] < 0 else None)
    _refuse(errors)
    return options


def limit_error(limit: float) -> str | None:
    if math.isnan(limit):
        return "Expected number, received nan"
    if limit <= 0:
        return _whole("limit", limit) or "Limit must be positive"
    return _whole("limit", limit) or (f"Limit cannot exceed {MAX_LIMIT}" if limit > MAX_LIMIT else None)


def select(rows: Rows, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to a query. `prefix` overrides the bounds; a reverse range starts at its high end."""
    start, end = options.get("startKey"), options.get("endKey")
    if prefix := options.get("prefix"):
        start, end = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
    low, high = _octets(start), _octets(end)
    if options.get("reverse"):
        keys = rows.irange(high, low, inclusive=(False, True), reverse=True)
    else:
        keys = rows.irange(low, high, inclusive=(True, False))
    if options.get("count"):
        return {"ok": True, "count": sum(1 for _ in keys)}
    offset = options.get("offset", 0)
    page = islice(keys, offset, offset + options.get("limit", 1000))
    if options.get("keysOnly"):
        return {"ok": True, "docs": [{"key": key.decode()} for key in page]}
    return {"ok": True, "docs": [{"key": key.decode(), "value": rows[key]} for key in page]}


def is_falsy(value: Any) -> bool:
    """Return whether JavaScript's value is falsy: the server's checks treat a falsy document as absent."""
    return value is None or value is False or (kind_of(value) in ("number", "string") and not value)


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return kinds.get(type(value), "object")


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _no_constant(text: str) -> Any:
    raise ValueError(f"not JSON: {text}")


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise Refused(400, f"Expected object, received {kind_of(body)}")
    return body


def _key_error(key: Any) -> str | None:
    if key is _MISSING:
        return "Required"
    if not isinstance(key, str):
        return f"Expected string, received {kind_of(key)}"
    if not key:
        return "Document key is required"
    if len(key.encode("utf-16-le", "surrogatepass")) // 2 > 1024:
        return "Document key must be 1024 characters or less"
    return "Document key must not contain null bytes" if "\0" in key else None


def _value_error(fields: Mapping[str, Any]) -> str | None:
    return None if "value" in fields else "Document value is required"


def _whole(name: str, number: float) -> str | None:
    return None if isinstance(number, int) else f"{name.capitalize()} must be an integer"


def _refuse(errors: Mapping[str, str | None]) -> None:
    told = [f"{name}: {error}" for name, error in errors.items() if error]
    if told:
        raise Refused(400, "; ".join(told))


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "replace")
