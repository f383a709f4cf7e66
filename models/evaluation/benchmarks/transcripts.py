"""Conversations as HH-RLHF writes them: `Human: ...` and `Assistant: ...` after blank lines."""

import re
from collections.abc import Sequence

from data_contracts.conversation import Conversation, Role, Turn

_NAMES = {Role.HUMAN: "Human", Role.ASSISTANT: "Assistant"}


def parse_transcript(transcript: str) -> Conversation | None:
    """Turns of a transcript; None unless it alternates and ends with a worded answer."""
    pieces = re.split(r"\n\n(Human|Assistant):", "\n\n" + transcript.strip())
    roles = [Role.HUMAN if name == "Human" else Role.ASSISTANT for name in pieces[1::2]]
    turns = tuple(Turn(role, text.strip()) for role, text in zip(roles, pieces[2::2], strict=True))
    expected = [Role.HUMAN, Role.ASSISTANT] * (len(turns) // 2)
    if pieces[0].strip() or len(turns) < 2 or roles != expected or not turns[-1].text:
        return None
    return turns


def write_transcript(turns: Sequence[Turn]) -> str:
    """The inverse of `parse_transcript`, for any turns."""
    return "\n\n".join(f"{_NAMES[turn.role]}: {turn.text}" for turn in turns)
