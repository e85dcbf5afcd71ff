"""Start-up tricks: each shortens a container's initialisation or its first event, and is listed with its measured gain.

This is the one module that reads the environment when it is imported, and the one that changes the interpreter. Tricks
apply in Lambda only, except those that `COLD_START_WITHOUT` names (`collector,pydantic_v1`), by which
`python -m tools.bench.tricks` measures their gain. This module imports the standard library alone, so that the
collector is off during all other imports.
"""

import gc
import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import Final

TRICKS: Final[Mapping[str, str]] = {
    "collector": "Rests until the function is built: all that it would scan stays. Initialisation x 1.10 without.",
    "pydantic_v1": "FastAPI imports it to recognise old models; it accepts that there is none. x 1.08 without.",
    "openapi_models": "FastAPI builds those of OpenAPI documents themselves. x 1.26 without.",
    "error_models": "FastAPI builds a hundred for OpenAPI documents, which Lambda never serves. x 1.11 without.",
    "imports_ahead": "An initialisation has a whole CPU, the first event a part of one. First event x 16 without.",
}
"""Each trick with its reason, and the processor time without it over the time with it: `handlers.memos` on HYPR Micro,
Python 3.11, x86-64, bytecode present, as `python -m tools.bench.tricks` printed it."""

OPENAPI_MODELS: Final = "fastapi.openapi.models"

IN_LAMBDA: Final = bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME")) and not os.environ.get("IS_LOCAL")
_WITHOUT: Final = frozenset(filter(None, os.environ.get("COLD_START_WITHOUT", "").split(",")))

_IMPORTED_TO_OPEN: Final[Mapping[str, tuple[str, ...]]] = {
    "memory": ("shared.stores.memory.store", "shared.stores.memory.file"),
    "micro": (
        "shared.micro_connections",
        "shared.micro",
        "shared.stores.micro.store",
    ),
    "dynamodb": ("shared.stores.dynamo.client", "shared.stores.dynamo.store"),
}
"""The modules that opening each store imports. A function imports those of its own store only."""


class NoModels(ModuleType):
    """A module whose every name is a class that takes any arguments and keeps none.

    It replaces models that only annotations and the schemes of a document name: no code reads them.
    """

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        model = type(name, (), {"__init__": lambda _, **__: None})
        setattr(self, name, model)
        return model


def applies(trick: str) -> bool:
    """Return whether a trick of `TRICKS` is in force in this process."""
    return IN_LAMBDA and trick not in _WITHOUT


def begin() -> None:
    """Apply the tricks that must precede all other imports. Building a function calls `prepare` and `finish`."""
    if applies("collector"):
        gc.disable()
    if applies("pydantic_v1"):
        sys.modules["pydantic.v1"] = None  # type: ignore[assignment] # to Python, None means an absent module
    if applies("openapi_models"):
        sys.modules[OPENAPI_MODELS] = NoModels(OPENAPI_MODELS)


def prepare(env: Mapping[str, str], *, store: str, also: Iterable[str] = ()) -> None:
    """Do the work of the first event that needs no network.

    Imports the log library, the modules of `store` and those of `also`; loads OpenSSL; reads the certificates; compiles
    the tokenizer's patterns, with which FastAPI finds an endpoint's line. Objects that exist afterwards live as long as
    the container, so they are frozen out of garbage collection.
    """
    if "imports_ahead" in _WITHOUT:
        return
    sha256()
    for module in ("aws_lambda_powertools", *_IMPORTED_TO_OPEN[store], *also):
        import_module(module)
    if store == "micro":
        with suppress(OSError, ValueError):  # the first event reports a wrong URL or wrong certificates
            url = env.get("HYPR_URL") or env.get("HYPR_PLATFORM_URL") or ""
            import_module("shared.connection_rules").tls_context(url)
    inspect.getsourcelines(prepare)
    gc.freeze()


def finish() -> None:
    """Turn the collector on again, once a function is built."""
    gc.enable()


begin()
