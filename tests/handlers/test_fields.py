"""Addresses in bodies: their maximum length."""

import pytest
from pydantic import TypeAdapter, ValidationError

from handlers.models.fields import EMAIL_LENGTH, Email

EMAIL: TypeAdapter[str] = TypeAdapter(Email)


@pytest.mark.parametrize(("domain", "stored"), [("example.org", "example.org"), ("ü.example", "xn--tda.example")])
def test_email_is_bounded_as_it_is_stored(domain: str, stored: str) -> None:
    """A domain in other letters counts in its `xn--` form, which is longer: 254 in all, the `@` included."""
    local = "a" * (EMAIL_LENGTH - 1 - len(stored))
    assert EMAIL.validate_python(f"{local}@{domain}") == f"{local}@{stored}"
    for more in ("a", "aa"):
        with pytest.raises(ValidationError) as refused:
            EMAIL.validate_python(f"{more}{local}@{domain}")
        (error,) = refused.value.errors()
        assert error["ctx"] == {"maxLength": EMAIL_LENGTH, "provided": EMAIL_LENGTH + len(more)}
