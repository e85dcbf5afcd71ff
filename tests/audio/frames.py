"""Frames of MPEG audio Layer III, written bit by bit after ISO/IEC 11172-3 and 13818-3."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import Final

from mutagen.mp3 import MPEGFrame

VERSIONS: Final = {"1": 3, "2": 2, "2.5": 0}
SIDE_BYTES: Final = {("1", True): 17, ("1", False): 32, ("2", True): 9, ("2", False): 17}
MONO: Final = 3


@dataclass(frozen=True, kw_only=True)
class Form:
    """The fields of a header. `mode` is 0 to 2 for two channels, 3 for one."""

    version: str
    bit_rate: int = 3
    rate: int = 1
    mode: int = MONO
    has_checksum: bool = False
    is_padded: bool = False

    @property
    def header(self) -> bytes:
        second = 0xE0 | VERSIONS[self.version] << 3 | 1 << 1 | (not self.has_checksum)
        third = self.bit_rate << 4 | self.rate << 2 | self.is_padded << 1
        return bytes([0xFF, second, third, self.mode << 6])

    @property
    def before_side(self) -> int:
        return 6 if self.has_checksum else 4

    @property
    def side_bytes(self) -> int:
        return SIDE_BYTES[self.version.replace("2.5", "2"), self.mode == MONO]


def every_form() -> Iterator[Form]:
    """Yield all 2,016 forms of a frame of a fixed bit rate."""
    for version, bit_rate, rate, mode, has_checksum, is_padded in product(
        VERSIONS, range(1, 15), range(3), range(4), (False, True), (False, True)
    ):
        yield Form(
            version=version,
            bit_rate=bit_rate,
            rate=rate,
            mode=mode,
            has_checksum=has_checksum,
            is_padded=is_padded,
        )


def frame(form: Form, content: bytes = b"") -> bytes:
    """Return a frame of this form, in the size that mutagen computes from its header. A checksum's bytes are 0."""
    head = BytesIO(form.header + bytes(5_000))
    MPEGFrame(head)  # type: ignore[no-untyped-call]
    return (form.header + bytes(form.before_side - 4) + content).ljust(head.tell(), b"\0")


@dataclass(frozen=True, kw_only=True)
class Sounding:
    """One channel's side information of a granule. `tables` are three, or two if its blocks are switched."""

    gain: int
    tables: Sequence[int]
    bits: int = 100


def side_information(form: Form, granules: Sequence[Sequence[Sounding]]) -> bytes:
    """Return the side information of a frame's granules, each with a part for each channel. All other bits are 1."""
    is_first, channels = form.version == "1", 1 if form.mode == MONO else 2
    begin = (9 + (5 if channels == 1 else 3) + 4 * channels) if is_first else 8 + channels
    bits = "1" * begin + "".join(_part(part, is_first=is_first) for granule in granules for part in granule)
    return int(bits, 2).to_bytes(form.side_bytes)


def _part(part: Sounding, *, is_first: bool) -> str:
    """Return the 59 or 63 bits of one channel's granule."""
    bits = f"{part.bits:012b}" + "1" * 9 + f"{part.gain:08b}" + "1" * (4 if is_first else 9)
    tables = "".join(f"{table:05b}" for table in part.tables)
    bits += ("1" + "1" * 3 + tables + "1" * 9) if len(part.tables) == 2 else ("0" + tables + "1" * 7)
    return bits + "1" * (3 if is_first else 2)
