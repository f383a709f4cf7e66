"""Conversations between a human and an assistant: the shape prompts, demonstrations and training rows share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


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

# A conversation as a Parquet column: list<struct<role: string, text: string>>.
CONVERSATION_TYPE = pa.list_(pa.struct([pa.field("role", pa.string(), False), pa.field("text", pa.string(), False)]))


def to_column(conversation: Sequence[Turn]) -> list[dict[str, str]]:
    """A conversation as the Python value of a `CONVERSATION_TYPE` cell."""
    return [{"role": turn.role.value, "text": turn.text} for turn in conversation]


def from_column(cell: Sequence[dict[str, str]]) -> Conversation:
    """The inverse of `to_column`."""
    return tuple(Turn(Role(turn["role"]), turn["text"]) for turn in cell)
