"""Nested time limits: a call's is within its request's, and a request's within its function's."""

import inspect
from pathlib import Path
from typing import Final

import pytest
import yaml

from shared.audio.s3 import S3Files
from shared.billing import client as stripe
from shared.core.request import REQUEST_S, UNDO_S
from shared.jobs.sqs import SqsQueue
from shared.mail.sender import MAIL_S
from shared.micro import MicroClient
from shared.speech.funnel import Funnel
from shared.stores.dynamo.store import DynamoStore
from shared.stores.micro.store import MicroStore
from shared.web.startup import SECRETS_S

SERVERLESS: Final = Path(__file__).parent.parent / "serverless.yml"
NAMED: Final = {"Stripe": stripe.TIMEOUT_S, "a mail": MAIL_S, "secrets": SECRETS_S}


@pytest.mark.parametrize("kind", [MicroClient, MicroStore, DynamoStore, S3Files, SqsQueue, Funnel])
def test_call_fits_into_a_request_by_default(kind: type) -> None:
    """One call that is never answered leaves its request time for an answer."""
    assert 0 < inspect.signature(kind).parameters["timeout_s"].default <= REQUEST_S - 2


@pytest.mark.parametrize("name", NAMED)
def test_named_time_fits_into_a_request(name: str) -> None:
    """A call without a parameter for its time has a constant."""
    assert 0 < NAMED[name] <= REQUEST_S - 2


def test_request_fits_into_its_function() -> None:
    """There is time to give places back and remove rows before Lambda stops the function."""
    function_s = yaml.safe_load(SERVERLESS.read_text())["provider"]["timeout"]
    assert function_s > REQUEST_S + 2 * UNDO_S
