"""The failures between an adapter and its provider, and whether the text may have been billed.

ProviderError (SpeechFailed: the caller gets 502 TTS_SERVICE_ERROR)
├── certainly not billed
│   ├── ProviderPaused      the breaker is open: nothing was sent
│   ├── NoTurn              no turn was free in time: nothing was sent
│   ├── ProviderUnreached   no connection
│   ├── ProviderBusy        the provider asks to wait
│   ├── TooManyAtOnce       the plan's concurrent requests are all under way
│   ├── CredentialRefused   a wrong key or role, or none
│   ├── QuotaUsedUp         the account's characters or money are used up
│   ├── TextRefused         the text is too long, or its content is refused
│   ├── VoiceRefused        the provider has no such voice
│   └── RequestRefused      any other refusal
└── may have been billed
    ├── ProviderSilent      sent, and not answered in time or at all
    ├── AudioCutOff         answered, and the audio broke off
    ├── NotAudio            answered without audio of the format
    ├── SpoiltAudio         answered with audio that cannot be the text
    └── ProviderBroke       any other failure of the provider
"""

from typing import ClassVar, Final

from shared.core.errors import SpeechFailed

SAID_CHARACTERS: Final = 300
"""Characters of a provider's own text that an error keeps."""


class ProviderError(SpeechFailed):
    """One request to a provider failed. The caller gets a fixed message; `str()` is for the log.

    `provider_status` is the HTTP status of the provider's answer; None: it did not answer. `retry_after_s` are the
    seconds that the provider asks to wait; None: the answer has none.
    """

    may_be_billed: ClassVar[bool] = False
    breaks: ClassVar[bool] = True
    """True if the breaker counts the failure: it shows the provider's health, not a fault of this request."""
    wait_s: ClassVar[float | None] = None
    """Seconds before the same request may be sent again within its call, unless the answer has `Retry-After`; None: it
    is not sent again. Never set this if `may_be_billed`: the text could be bought twice."""
    for_good: ClassVar[bool] = False
    """True if every later repeat of the request would be refused too."""

    def __init__(
        self,
        provider: str,
        what: str,
        *,
        provider_status: int | None = None,
        said: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__("The speech provider failed", details={"provider": provider})
        self.provider = provider
        self.what = what
        self.provider_status = provider_status
        self.said = said[:SAID_CHARACTERS]
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        answered = "" if self.provider_status is None else f" ({self.provider_status} {self.said})"
        return f"{self.provider}: {self.what}{answered}"


class ProviderPaused(ProviderError):
    breaks = False


class NoTurn(ProviderError):
    breaks = False


class ProviderUnreached(ProviderError):
    wait_s = 0.0


class ProviderBusy(ProviderError):
    wait_s = 1.0


class TooManyAtOnce(ProviderError):
    """One of our requests ends soon and frees a place: the wait is short, and the provider is healthy."""

    wait_s = 0.25
    breaks = False


class CredentialRefused(ProviderError):
    pass


class QuotaUsedUp(ProviderError):
    pass


class TextRefused(ProviderError):
    breaks = False
    for_good = True


class VoiceRefused(ProviderError):
    breaks = False
    for_good = True


class RequestRefused(ProviderError):
    breaks = False
    for_good = True


class ProviderSilent(ProviderError):
    may_be_billed = True


class AudioCutOff(ProviderError):
    may_be_billed = True


class NotAudio(ProviderError):
    may_be_billed = True


class SpoiltAudio(ProviderError):
    may_be_billed = True


class ProviderBroke(ProviderError):
    may_be_billed = True
