"""The failures between billing and Stripe, and whether the request may have been carried out.

StripeFailed (ServiceUnavailable: the caller gets 503)
├── certainly not carried out
│   ├── StripeBusy      Stripe asks to wait, or another request is changing the same object
│   ├── StripeRefused   our key, our settings or our request are wrong: an operator has to act
│   └── StripeMissing   the named object does not exist, or is deleted
└── may have been carried out
    ├── StripeSilent    not reached, or not answered in time
    └── StripeBroke     Stripe answered that it failed
"""

from typing import Final

from shared.core.errors import ServiceUnavailable

SAID_CHARACTERS: Final = 300
"""Characters of Stripe's own text that an error keeps."""


class StripeFailed(ServiceUnavailable):
    """One request to Stripe failed. The caller gets a fixed message; `str()` is for the log.

    `stripe_status` is the HTTP status of the answer; None: Stripe did not answer. `stripe_request` is Stripe's id of
    the request, by which its dashboard finds it. `was_replayed`: this is the answer to an earlier request with the same
    idempotency key, which Stripe repeats for a day.
    """

    def __init__(
        self,
        what: str,
        *,
        stripe_status: int | None = None,
        said: str = "",
        param: str | None = None,
        stripe_request: str | None = None,
        was_replayed: bool = False,
    ) -> None:
        super().__init__()
        self.what = what
        self.stripe_status = stripe_status
        self.said = said[:SAID_CHARACTERS]
        self.param = param
        self.stripe_request = stripe_request
        self.was_replayed = was_replayed

    def __str__(self) -> str:
        answered = "" if self.stripe_status is None else f" ({self.stripe_status} {self.said})"
        return f"Stripe {self.what}{answered}"


class StripeBusy(StripeFailed):
    pass


class StripeRefused(StripeFailed):
    pass


class StripeMissing(StripeFailed):
    pass


class StripeSilent(StripeFailed):
    pass


class StripeBroke(StripeFailed):
    pass
