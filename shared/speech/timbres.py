"""The timbres of our own twelve voices, made from one model's voice.

The model returns pitch and spectrum separately, so each can be changed before they become sound.
The values were chosen by measurement: pitch by Praat, words by two recognisers (docs/performance.md).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Timbre:
    """The differences of a voice from the model's own, a woman's of 188 Hz.

    `pitch` scales the mean of the pitch, and `spread` its movement around the mean (1 is the model's own).
    `formant` scales the frequencies of the resonances: below 1 is a longer throat.
    `pace` is the speed of speaking, `breath` the natural logarithm of the noise's factor.
    """

    pitch: float
    spread: float
    formant: float
    pace: float
    breath: float


def _timbre(pitch: float, spread: float, formant: float, pace: float, breath: float) -> Timbre:
    return Timbre(pitch=pitch, spread=spread, formant=formant, pace=pace, breath=breath)


TIMBRES: Final = {
    "rachel": _timbre(0.955, 0.95, 1.00, 0.98, 0.00),
    "domi": _timbre(1.08, 1.25, 1.03, 1.06, -0.20),
    "bella": _timbre(0.90, 0.85, 0.98, 0.92, 0.35),
    "adam": _timbre(0.50, 0.90, 0.83, 0.94, 0.00),
    "sam": _timbre(0.63, 1.00, 0.88, 1.04, 0.00),
    "charlie": _timbre(0.535, 1.20, 0.86, 1.10, 0.10),
    "emily": _timbre(1.15, 0.85, 1.05, 0.90, 0.40),
    "ethan": _timbre(0.71, 1.10, 0.92, 1.06, 0.00),
    "freya": _timbre(1.26, 1.20, 1.05, 1.06, 0.00),
    "dorothy": _timbre(0.84, 1.25, 0.96, 0.90, 0.10),
    "bill": _timbre(0.445, 0.85, 0.81, 0.88, 0.15),
    "sarah": _timbre(1.025, 0.90, 1.02, 1.02, -0.10),
}
"""pitch, spread, formant, pace, breath of each voice in `VOICES`."""
