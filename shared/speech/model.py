"""The model of our own voices, and the processing of its sound.

An import of this module loads numpy and onnxruntime: only the thread of `local` imports it. hibari's public functions
return only sound, so internal ones are called here, and its version is pinned.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from hibari import Hibari, dsp
from numpy.typing import NDArray

from shared.speech.cutting import sentences
from shared.speech.encoding import RATE
from shared.speech.timbres import Timbre

Wave = NDArray[np.float32]

_MOST_CHARACTERS: Final = 200
"""Characters of a sentence given to the model at once. A longer one is cut: its spectra would take 6 GB at 100,000."""
_MOST_PHONEMES: Final = 200
"""hibari's own bound, which it keeps at commas only. 400 are some 30 s, or 120 MB of spectra."""
_SEED: Final = 15
"""The seed of the noise in breath and consonants. It is the same for all, so a sentence has the same sound anywhere."""
_LOUDNESS: Final = -17.7
"""Loudness of a sentence in LUFS as `_levelled` measures it, without a gate. The MP3 is within 1 of -19 LUFS (ITU-R
BS.1770-4), as most spoken audio."""
_MOST_GAIN: Final = 4.0
"""Factor, 12 dB. A sentence that needs more is breath, not speech, and its noise would be audible."""
_CEILING: Final = 10 ** (-1.6 / 20)
"""The highest sample, where 1 is full scale. MP3 adds up to half a decibel, so peaks stay below -1 dBFS."""
_BLOCK: Final = RATE // 400
"""Samples whose peak is limited together, 2.5 ms: shorter than the period of the highest pitch."""
_HOLD: Final = 5
"""Blocks before and after a peak over which the limiter's gain falls and rises. Fewer are heard as a buzz."""
_FADE: Final = RATE // 200
"""Samples of 5 ms at each end of a sentence: without a fade a seam would click."""
_PAUSE_S: Final = {True: 0.12, False: 0.02}
"""Seconds of silence after a sentence, and where one was cut (False). The model itself adds some 0.4 s."""
_FRAME: Final = 1_024
"""Samples whose energy is measured together, 43 ms."""
_SOUNDING: Final = 0.05
"""The share of the highest peak below which a frame counts as silence."""
_VOICED_HZ: Final = 40
_UNHEARD: Final = np.float32(-9)
"""Logarithm of a magnitude below hearing, for frequencies that a smaller throat moved in from above the spectrum."""


class Model:
    """One network in memory, some 100 MB with its dictionaries. Loading it takes half a second of CPU."""

    def __init__(self) -> None:
        self._hibari = Hibari(threads=1)
        self._seen: Any = self._hibari.vocab

    def say(self, text: str, timbre: Timbre) -> Iterator[bytes]:
        """Yield the sound of each sentence with the pause after it.

        Samples are 16-bit little-endian. A text without sound yields nothing.
        """
        for sentence in sentences(text, _MOST_CHARACTERS):
            for phonemes in self._phonemes(sentence):
                wave = self._wave(phonemes, timbre)
                for _ in range(2):  # limiting takes up to 2 dB of loudness from a voice with high peaks
                    wave = _limited(_levelled(wave))
                pause_s = _PAUSE_S[phonemes[-1] in ".!?…"]
                silence = np.zeros(round(pause_s * RATE), np.float32)
                yield (np.concatenate([_faded(wave), silence]) * 32767).astype("<i2").tobytes()

    def phonemes(self, text: str) -> str:
        """Return the phonemes of a text, which the network gets. Tests check by them how numbers are read."""
        return " ".join(
            phonemes for sentence in sentences(text, _MOST_CHARACTERS) for phonemes in self._phonemes(sentence)
        )

    def _phonemes(self, sentence: str) -> Iterator[str]:
        left = self._hibari.g2p(sentence)
        while left:
            cut = len(left) if len(left) <= _MOST_PHONEMES else left.rfind(" ", 0, _MOST_PHONEMES) + 1 or _MOST_PHONEMES
            part, left = left[:cut].strip(), left[cut:]
            if any(sound in self._seen and sound.isalpha() for sound in part):
                yield part

    def _wave(self, phonemes: str, timbre: Timbre) -> Wave:
        ids = np.asarray([self._hibari.ids(phonemes)], np.int64)
        speed = np.asarray([timbre.pace], np.float32)
        outputs = self._hibari.sess.run(None, {"ids": ids, "speed": speed})
        harmonic, phase, noise, rest, rest_phase, pitch = (output[0] for output in outputs)
        pitch = _pitched(pitch, timbre)
        if timbre.formant != 1:
            harmonic, noise, rest, phase, rest_phase = _warped(
                (harmonic, noise, rest), (phase, rest_phase), timbre.formant
            )
        # A lower pitch has more harmonics in the same range: weaken each, so that the voice stays as loud.
        harmonic = harmonic + np.float32(0.5 * np.log(timbre.pitch))
        noise = noise + np.float32(timbre.breath)
        made: Wave = dsp.synth(harmonic, phase, noise, rest, rest_phase, pitch, np.random.default_rng(_SEED))
        return made


def _pitched(pitch: Wave, timbre: Timbre) -> Wave:
    """Return the pitch in Hz of each frame, moved and spread around the mean.

    The mean is geometric. Frames without a pitch stay without one.
    """
    voiced = pitch > _VOICED_HZ
    if not voiced.any():
        return pitch
    mean = np.exp(np.log(pitch[voiced]).mean())
    moved = pitch.copy()
    moved[voiced] = mean * timbre.pitch * (pitch[voiced] / mean) ** timbre.spread
    return moved


def _warped(magnitudes: tuple[Wave, ...], phases: tuple[Wave, ...], formant: float) -> tuple[Wave, ...]:
    """Return the spectra stretched along frequency.

    Bin k holds the value of bin k / formant. Phases take the nearest bin.
    """
    bins = magnitudes[0].shape[0]
    source = np.arange(bins) / formant
    below = np.minimum(source.astype(int), bins - 2)
    weight = np.clip(source - below, 0, 1)[:, None].astype(np.float32)
    within = (source < bins - 1)[:, None]
    nearest = np.minimum(np.rint(source).astype(int), bins - 1)
    moved = [np.where(within, held[below] * (1 - weight) + held[below + 1] * weight, _UNHEARD) for held in magnitudes]
    return (*moved, *(held[nearest] for held in phases))


def _levelled(wave: Wave) -> Wave:
    """Return the sound at _LOUDNESS. That is its energy, weighted as by ears, over the time without silence."""
    frames = _blocks(wave, _FRAME)
    energy = float((np.abs(np.fft.rfft(frames)) ** 2).sum(axis=0) @ _EAR) * 2 / _FRAME
    peaks = np.abs(frames).max(axis=1)
    sounding = np.count_nonzero(peaks > _SOUNDING * peaks.max()) * _FRAME
    if energy <= 0 or not sounding:
        return wave
    lufs = -0.691 + 10 * np.log10(energy / sounding)
    return wave * np.float32(min(_MOST_GAIN, 10 ** ((_LOUDNESS - lufs) / 20)))


def _limited(wave: Wave) -> Wave:
    """Return the sound with peaks of at most _CEILING. The gain falls before a peak and rises after it, smoothly."""
    blocks = _blocks(wave, _BLOCK)
    peaks = np.abs(blocks).max(axis=1)
    if peaks.max() <= _CEILING:
        return wave
    width = 2 * _HOLD + 1
    windows = np.lib.stride_tricks.sliding_window_view
    needed = np.pad(np.minimum(1, _CEILING / np.maximum(peaks, 1e-9)), width - 1, constant_values=1)
    gains = windows(windows(needed, width).min(axis=1), width).mean(axis=1)
    edges = np.pad((gains[1:] + gains[:-1]) / 2, 1, mode="edge").astype(np.float32)[:, None]
    limited = blocks * (edges[:-1] + (edges[1:] - edges[:-1]) * _RISE)
    below: Wave = np.clip(limited, -_CEILING, _CEILING).reshape(-1)[: len(wave)]
    return below


def _blocks(wave: Wave, size: int) -> Wave:
    """Return the sound in rows of `size` samples, the last one padded with silence."""
    return np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)


def _ear() -> NDArray[np.float64]:
    """Return the weight of energy at each frequency.

    It is BS.1770's: a shelf above 1.5 kHz, and a high pass at 38 Hz.
    """
    hz = np.maximum(np.fft.rfftfreq(_FRAME, 1 / RATE), 1e-9)
    shelf = 1 + (10**0.4 - 1) / (1 + (1_500 / hz) ** 4)
    weights: NDArray[np.float64] = shelf / (1 + (38 / hz) ** 4)
    return weights


_EAR: Final = _ear()
_RISE: Final = (np.arange(_BLOCK, dtype=np.float32) + np.float32(0.5)) / np.float32(_BLOCK)
"""The position of each sample in its block, from 0 to 1."""


def _faded(wave: Wave) -> Wave:
    ramp = np.linspace(0, 1, min(_FADE, len(wave)), dtype=np.float32)
    wave[: len(ramp)] *= ramp
    wave[len(wave) - len(ramp) :] *= ramp[::-1]
    return wave
