"""The exact length of a file of audio."""

from dataclasses import dataclass


class BadAudio(Exception):
    """The bytes are no audio of their format, or parts that cannot stand in one file."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """What a player plays: `samples` of each channel, without what the file says to drop.

    `whole` is False if the file breaks off, or is shorter than it announces.
    """

    samples: int
    rate: int
    whole: bool

    @property
    def seconds(self) -> float:
        return self.samples / self.rate
