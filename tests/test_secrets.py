"""Secrets by the names of their fields: the repr of a value contains none."""

import re
from pathlib import Path

from pydantic import BaseModel

from handlers.models.fields import Secret
from shared.stores.micro.layout import Extension, Version

ROOT = Path(__file__).parent.parent
FIELD = re.compile(
    r"^    (?P<name>\w*(secrets?|passwords?|tokens?|api_key|_hash|last_six|credentials|slug)|key): "
    r"(?P<type>.*\b(str|Any)\b.*)$",
    re.MULTILINE,
)
NO_SECRETS = {
    ("shared/micro.py", "key"),  # a document's key
    ("shared/stores/dynamo/items.py", "tokens"),  # tokens of writes
}


def test_secret_is_in_no_repr() -> None:
    """Each text field with the name of a credential is missing in its value's repr."""
    fields = [
        (str(file.relative_to(ROOT)), field["name"], "repr=False" in field["type"])
        for package in ("shared", "handlers")
        for file in (ROOT / package).rglob("*.py")
        for field in FIELD.finditer(file.read_text(encoding="utf-8"))
    ]
    assert len(fields) > 10
    assert [field[:2] for field in fields if not field[2] and field[:2] not in NO_SECRETS] == []


def test_row_is_in_no_repr() -> None:
    """Rows contain their owners' texts, so no repr shows them."""
    version = Version(ballot=1, final=True, text="canary", at="")
    assert "canary" not in repr([version, Extension(stamp="", name="title", text="canary")])


def test_secret_of_a_body_is_in_no_repr() -> None:
    """The type of passwords, keys and tokens in bodies and answers hides them."""

    class Body(BaseModel):
        given: Secret

    assert "canary" not in repr(Body(given="canary"))
