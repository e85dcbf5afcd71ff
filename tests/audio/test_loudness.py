"""The loudness of granules whose every bit is known."""

from math import log10
from struct import pack

import pytest

from shared.audio.loudness import SILENCE, Granule, granules_of, samples_granules
from shared.audio.mp3 import with_length
from tests.audio.frames import MONO, VERSIONS, Form, Sounding, frame, side_information

LARGEST = (
    *((0, 0), (1, 1), (2, 2), (3, 2), (5, 3), (6, 3), (7, 5), (8, 5), (9, 5), (10, 7), (11, 7), (12, 7), (13, 15)),
    *((15, 15), (16, 16), (17, 18), (18, 22), (19, 30), (20, 78), (21, 270), (22, 1_038), (23, 8_206)),
    *((24, 30), (25, 46), (26, 78), (27, 142), (28, 270), (29, 526), (30, 2_062), (31, 8_206)),
)
"""The largest value of each Huffman table of ISO/IEC 11172-3, table B.7, linbits included."""


def peak_db(gain: int, largest: int) -> float:
    """Return the peak in dB of a value x at a gain.

    That is x^(4/3) * 2^((gain - 210) / 4) of full scale (ISO/IEC 11172-3, 2.4.3.4).
    """
    return 20 * log10(largest ** (4 / 3) * 2 ** ((gain - 210) / 4))


def is_near(granule: Granule, gain: int, db: float) -> bool:
    return granule.gain == gain and granule.peak_db == pytest.approx(db)


def forms() -> list[Form]:
    return [
        Form(version=version, bit_rate=9, mode=mode, has_checksum=has_checksum)
        for version in VERSIONS
        for mode in (0, MONO)
        for has_checksum in (False, True)
    ]


@pytest.mark.parametrize("form", forms(), ids=repr)
def test_granules_of_reads_every_form(form: Form) -> None:
    """Each granule is read from its own bits, the loudest channel's counts, and silence has no gain."""
    channels, count = 1 if form.mode == MONO else 2, 2 if form.version == "1" else 1
    first = [
        [Sounding(gain=200 - 16 * number - 5 * channel, tables=(1, 2, 5 + channel)) for channel in range(channels)]
        for number in range(count)
    ]
    second = [
        [Sounding(gain=100 + number + 7 * channel, tables=(9, 24)) for channel in range(channels)]
        for number in range(count)
    ]
    silent = [[Sounding(gain=255, tables=(31, 31, 31), bits=0)] * channels] * count
    mp3 = b"".join(frame(form, side_information(form, granules)) for granules in (first, second, silent))
    granules, seconds = granules_of(mp3)
    assert len(granules) == 3 * count
    for number in range(count):
        assert is_near(granules[number], 200 - 16 * number, peak_db(200 - 16 * number, 3))
        gain = 100 + number + 7 * (channels - 1)
        assert is_near(granules[count + number], gain, peak_db(gain, 30))
    assert granules[2 * count :] == [SILENCE] * count
    assert seconds == pytest.approx(576 / {"1": 48_000, "2": 24_000, "2.5": 12_000}[form.version])


@pytest.mark.parametrize(("table", "largest"), LARGEST)
def test_peak_is_bound_by_the_largest_table(table: int, largest: int) -> None:
    """The largest of a granule's tables bounds the peak, with and without switched blocks. Table 0 alone does not."""
    form = Form(version="1", bit_rate=9)
    for tables in ((table, 0, 0), (0, table, 0), (0, 0, table), (table, 0), (0, table)):
        granule = [Sounding(gain=180, tables=tables)]
        (one, other), _ = granules_of(frame(form, side_information(form, [granule, granule])))
        assert one == other
        assert is_near(one, 180, peak_db(180, largest) if largest else SILENCE.peak_db)


def test_granules_of_a_header_are_silence() -> None:
    form = Form(version="1", bit_rate=9)
    granule = [Sounding(gain=180, tables=(1, 1, 1))]
    body = frame(form, side_information(form, [granule, granule])) * 2
    (one, two, *others), _ = granules_of(with_length(body, 1_000, lead=600))
    assert (one, two) == (SILENCE, SILENCE)
    assert [granule.gain for granule in others] == [180] * 4


def test_granules_of_no_mp3_are_none() -> None:
    assert granules_of(b"") == ([], 0.0)


@pytest.mark.parametrize(("rate", "size"), [(24_000, 576), (16_000, 384), (48_000, 1_152), (22_050, 529)])
def test_samples_granules_are_as_long_as_those_of_an_mp3(rate: int, size: int) -> None:
    """A granule's gain is the mean power of its own samples. The last granule may be shorter."""
    loud, quiet = pack("<2h", 16_384, -16_384) * (size // 2), pack("<h", 0) * (size % 2 + size)
    granules, seconds = samples_granules((loud + quiet)[: 2 * 2 * size] + pack("<h", 1_024) * 7, rate)
    assert seconds == size / rate
    assert [granule.gain for granule in granules] == [206, 0, 190]


@pytest.mark.parametrize(
    ("value", "gain"), [(32_767, 210), (-32_768, 210), (23_198, 208), (8_192, 202), (256, 182), (1, 150), (0, 0)]
)
def test_samples_granules_tell_loudness_in_steps(value: int, gain: int) -> None:
    """Full scale is 210, as in an MP3, and each halving is 6 dB, hence 4 steps of 1.5 dB."""
    (granule,), _ = samples_granules(pack("<h", value) * 100, 24_000)
    assert granule.gain == gain


@pytest.mark.parametrize(
    ("peaks", "is_clipped"),
    [
        ((32_767,) * 4, True),
        ((-32_768,) * 4, True),
        ((32_767, -32_768, -32_767, 32_767), True),
        ((32_767,) * 3, False),
        ((-32_768,) * 3, False),
        ((32_766,) * 100, False),
        ((-32_766,) * 100, False),
    ],
)
def test_samples_granules_are_clipped_by_four_samples(peaks: tuple[int, ...], is_clipped: bool) -> None:  # noqa: FBT001
    """Speech of a sane level touches full scale now and then; a granule that does so four times is cut off."""
    (granule,), _ = samples_granules(pack(f"<{len(peaks)}h", *peaks) + bytes(200), 24_000)
    assert granule.peak_db == (0 if is_clipped else SILENCE.peak_db)
