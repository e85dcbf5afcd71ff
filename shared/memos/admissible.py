"""Checks of a text against a plan and its voices. A text that they refuse is never charged."""

from shared.core.errors import ValidationFailed
from shared.core.text import characters
from shared.memos.requests import Draft
from shared.plans import PLANS
from shared.speech.synthesizer import Synthesizer
from shared.tables.users import User


def check_length(draft: Draft, user: User) -> None:
    """Raise ValidationFailed if the text is too long for the owner's plan."""
    limit, provided = PLANS[user.tier].limits.chars_per_memo, characters(draft.text)
    if limit is not None and provided > limit:
        raise ValidationFailed(
            f"Text exceeds the {limit} characters of the {user.tier} tier",
            details={"field": "text", "limit": limit, "provided": provided, "tier": user.tier.value},
        )


def takes(speaker: Synthesizer, draft: Draft, reading: str) -> bool:
    """Return whether the voices can make the draft's format of a text of this length.

    If the draft `is_at_once`, its reading must also be quick.
    """
    most = speaker.formats.get(draft.format, 0)
    fits = most is None or characters(draft.text) <= most
    return fits and (not draft.is_at_once or is_quick(speaker, reading))


def check_voices(speaker: Synthesizer, draft: Draft, reading: str) -> None:
    """Raise ValidationFailed unless `takes` returns True."""
    if draft.format not in speaker.formats:
        said = f"These voices cannot make {draft.format}"
        raise ValidationFailed(said, details={"field": "format", "validOptions": list(speaker.formats)})
    if not takes(speaker, draft, reading):
        most, quick = speaker.formats[draft.format], speaker.quick_characters
        if draft.is_at_once and not is_quick(speaker, reading):
            limit, what = quick, "that are said at once"
        else:
            limit, what = most, f"of a memo in {draft.format}"
        details = {"field": "text", "limit": limit, "provided": max(characters(draft.text), characters(reading))}
        raise ValidationFailed(f"Text exceeds the {limit} characters {what}", details=details)


def is_quick(speaker: Synthesizer, reading: str) -> bool:
    return speaker.quick_characters is None or characters(reading) <= speaker.quick_characters
