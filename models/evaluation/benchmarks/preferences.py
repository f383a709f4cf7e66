"""Preference files of HH-RLHF's format: `chosen` and `rejected` are whole conversations (ALMoST Table 3)."""

from itertools import islice
from pathlib import Path

from data_contracts.conversation import Conversation
from data_contracts.errors import ConfigError
from data_contracts.text_files import json_lines
from models.evaluation.benchmarks.benchmark import DataFiles
from models.evaluation.benchmarks.transcripts import parse_transcript

FIELD = "evaluation.preference_files"
# No `Benchmark`: pairs have no prompt, so that only reward models can be asked.
PREFERENCES = DataFiles(
    "preferences",
    (("hh_rlhf/*.jsonl.gz", "hh_rlhf/*.jsonl"),),
    ("hub:Anthropic/hh-rlhf?data_dir=helpful-base&split=test",),
)
TITLE_PREFIX = f"{PREFERENCES.name}:"  # of `EvaluatedItem.benchmark`, before the file's name
Pair = tuple[Conversation, Conversation]
SINGLE_TURN, MULTI_TURN = "single-turn", "multi-turn"


def read_preference_file(path: Path, rows: int | None = None) -> tuple[list[Pair], int]:
    """Pairs of conversations, the preferred one first, and how many had an unreadable side and are left out.

    Raises:
        ConfigError: the file is missing, not JSON lines, or holds no usable pair.
    """
    pairs: list[Pair] = []
    unusable = 0
    for number, row in islice(json_lines(path, FIELD), rows):
        try:
            chosen, rejected = parse_transcript(row["chosen"]), parse_transcript(row["rejected"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{FIELD}: {path} line {number} has no texts 'chosen' and 'rejected'") from error
        if chosen is None or rejected is None:
            unusable += 1
        else:
            pairs.append((chosen, rejected))
    if not pairs:
        raise ConfigError(f"{FIELD}: {path} holds no pair of conversations that end with the assistant")
    return pairs, unusable


def turns_group(pair: Pair) -> str:
    """Whether a pair's context is one human turn or a longer conversation."""
    return SINGLE_TURN if len(pair[0]) == 2 else MULTI_TURN
