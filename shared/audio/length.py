"""The exact length of a file of audio."""

from dataclasses import dataclass


class BadAudio(Exception):
    """The bytes are not of the expected format, or the parts cannot be joined to one file."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """The length that a player plays: `samples` of each channel at `rate` a second, without those to be dropped.

    `whole` is False if the file breaks off, or is shorter than it announces.
    """

    samples: int
    rate: int
    whole: bool

    @property
    def seconds(self) -> float:
        return self.samples / self.rate
