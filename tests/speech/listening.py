"""Decoders, a recogniser, and meters of loudness and pitch for tests. Samples are floats, full scale is 1."""

import re
from functools import cache
from io import BytesIO
from typing import Any

import miniaudio
import numpy as np
import soundfile
from mutagen.mp3 import MP3
from numpy.typing import NDArray
from pocketsphinx import Decoder

Sound = NDArray[np.float64]

RATE = 24_000
PLAIN = "The train leaves from platform nine in the afternoon, and dinner is ready when you come home."
"""Words with one spelling, without homophones: the recogniser may spell digits and "two" differently."""


def decoded(mp3: bytes) -> Sound:
    """Decode by miniaudio (dr_mp3)."""
    return np.asarray(miniaudio.decode(mp3, nchannels=1, sample_rate=RATE).samples, np.float64) / 32_768


def played(file: bytes) -> Sound:
    """Decode any format by libsndfile, at 24 kHz."""
    sound, rate = soundfile.read(BytesIO(file))
    assert rate == RATE
    return np.asarray(sound, np.float64)


def lengths(mp3: bytes) -> dict[str, int]:
    """Return the number of samples by each reader."""
    return {"miniaudio": len(decoded(mp3)), "mutagen": round(_mutagen_s(mp3) * RATE)}


def _mutagen_s(mp3: bytes) -> float:
    info: Any = MP3(BytesIO(mp3)).info  # type: ignore[no-untyped-call]
    return float(info.length)


def heard(sound: Sound) -> str:
    """Return the words that pocketsphinx recognises. It needs 16 kHz: the spectrum is cut at 8 kHz."""
    spectrum = np.fft.rfft(sound)
    count = len(sound) * 2 // 3
    slower = np.fft.irfft(spectrum[: count // 2 + 1], count) * (count / len(sound))
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((np.clip(slower, -1, 1) * 32_767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


@cache
def _decoder() -> Decoder:
    """Load the decoder once for a test worker: its model takes half a second."""
    return Decoder(samprate=16_000, loglevel="FATAL")


def wrong_words(said: str, understood: str) -> float:
    """Return the share of missed, added or confused words (edit distance; 0: none)."""
    ours, theirs = (re.findall(r"[a-z']+", text.lower()) for text in (said, understood))
    row = list(range(len(theirs) + 1))
    for i, word in enumerate(ours, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1] / len(ours)


def loudness(sound: Sound) -> float:
    """Return the LUFS of one channel (ITU-R BS.1770-4): K-weighted, in blocks of 0.4 s, without silent ones."""
    size = 1 << (len(sound) - 1).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    # BS.1770 defines its two filters at 48 kHz; these are their bilinear transforms at 24 kHz
    response = _biquad(z, *_shelf()) * _biquad(z, *_high_pass())
    weighted = np.fft.irfft(np.fft.rfft(sound, size) * response, size)[: len(sound)]
    block, step = round(0.4 * RATE), round(0.1 * RATE)
    energies = np.array([np.mean(weighted[at : at + block] ** 2) for at in range(0, len(sound) - block + 1, step)])
    loud = energies[_lufs(energies) > -70]
    return float(_lufs(loud[_lufs(loud) > _lufs(loud.mean()) - 10].mean()))


def pitch(sound: Sound) -> Sound:
    """Return the Hz of each 50 ms with a clear pitch, by the autocorrelation between 60 and 400 Hz."""
    size, step = round(0.05 * RATE), round(0.02 * RATE)
    window = np.hanning(size)
    lags = np.arange(RATE // 400, RATE // 60)
    own = _autocorrelation(window)[lags]
    found = []
    for at in range(0, len(sound) - size, step):
        frame = sound[at : at + size]
        if np.sqrt(np.mean(frame**2)) < 0.03:
            continue
        alike = _autocorrelation(frame * window)[lags] / own
        if alike.max() > 0.6:
            first = int(np.argmax(alike > 0.93 * alike.max()))  # multiples of the period match too: take the shortest
            found.append(RATE / lags[first + int(np.argmax(alike[first : first + 20]))])
    return np.array(found)


def _autocorrelation(frame: Sound) -> Sound:
    """Return a frame's autocorrelation by shift in samples, which is 1 at 0."""
    power = np.fft.irfft(np.abs(np.fft.rfft(frame, 4 * len(frame))) ** 2)
    alike: Sound = power / power[0]
    return alike


def _lufs(energy: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(energy, 1e-12))


def _biquad(z: NDArray[np.complex128], b: Sound, a: Sound) -> NDArray[np.complex128]:
    response: NDArray[np.complex128] = (b[0] + b[1] * z + b[2] * z * z) / (a[0] + a[1] * z + a[2] * z * z)
    return response


def _shelf() -> tuple[Sound, Sound]:
    gain, q, hz = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k, height = np.tan(np.pi * hz / RATE), 10 ** (gain / 20)
    middle = height**0.4996667741545416
    return (
        np.array([height + middle * k / q + k * k, 2 * (k * k - height), height - middle * k / q + k * k]),
        np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]),
    )


def _high_pass() -> tuple[Sound, Sound]:
    q, hz = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * hz / RATE)
    scale = 1 + k / q + k * k
    return np.array([1.0, -2.0, 1.0]), np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale
