"""The failures between an adapter and its provider, and whether the text may have been billed.

ProviderError (SpeechFailed: the caller gets 502 TTS_SERVICE_ERROR)
├── certainly not billed
│   ├── ProviderPaused      the breaker is open: nothing was sent
│   ├── NoTurn              no time was left to send it
│   ├── ProviderUnreached   no connection
│   ├── ProviderBusy        it asks to wait
│   ├── TooManyAtOnce       the plan's concurrent requests are all under way
│   ├── CredentialRefused   a wrong key or role, or none
│   ├── QuotaUsedUp         the plan's characters, or its money
│   ├── TextRefused         too long, or not to its taste
│   ├── VoiceRefused        it has no such voice
│   └── RequestRefused      any other refusal
└── may have been billed
    ├── ProviderSilent      sent, and not answered in time or at all
    ├── AudioCutOff         answered, and the audio broke off
    ├── NotAudio            answered with something else
    ├── SpoiltAudio         answered with audio that cannot be the text
    └── ProviderBroke       any other failure of the provider's
"""

from typing import ClassVar, Final

from shared.core.errors import SpeechFailed

SAID_CHARACTERS: Final = 300
"""How many characters of a provider's own text an error keeps."""


class ProviderError(SpeechFailed):
    """One request to a provider failed. The caller's message is fixed; `str()` is for the log.

    `provider_status` is the HTTP status of the provider's answer; None: there was no answer. `retry_after_s` is how
    long the provider asks to wait; None: it did not say.
    """

    may_be_billed: ClassVar[bool] = False
    breaks: ClassVar[bool] = True
    """Whether the breaker counts it: it shows the provider's health, not a fault of this request."""
    wait_s: ClassVar[float | None] = None
    """Seconds before the same request may be sent again within its call, unless the provider names others; None: it is
    not sent again. Never set this where `may_be_billed`: the text could be bought twice."""
    for_good: ClassVar[bool] = False
    """Whether the same request would be refused at any later time too."""

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
    """A request of ours ends soon and frees a place, so the wait is short and says nothing of the provider's health."""

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
