"""Conversations between a human and an assistant: the shape prompts, demonstrations and training rows share."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks a turn."""

    HUMAN = "human"
    ASSISTANT = "assistant"


@dataclass(frozen=True)
class Turn:
    """One utterance, without its `Human:` / `Assistant:` marker and without surrounding white space."""

    role: Role
    text: str


Conversation = tuple[Turn, ...]
