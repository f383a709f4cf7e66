"""Static HHH alignment (Askell et al. 2021; ALMoST section 3.1): which of two responses is the better one?

Five figures: helpful, harmless, honest, other, and all. Both orders of A and B are asked and count alike.

Departure: 1. The paper does not say how a context of several turns is shown; here it is a transcript.
"""

from collections.abc import Sequence
from pathlib import Path

from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.tables.evaluation_texts import DATASET_PART
from models.evaluation.benchmarks.benchmark import ALL, Benchmark, DataFiles, PaperColumns
from models.evaluation.benchmarks.benchmark_files import Row, require, rows_of
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem
from models.evaluation.benchmarks.prompt_template import PromptTemplate, Rendering, behind
from models.evaluation.benchmarks.questions import BenchmarkQuestion
from models.evaluation.benchmarks.transcripts import parse_transcript, write_transcript

NAME = "static_hhh"
SPLITS = ("helpful", "harmless", "honest", "other")
PLACEHOLDERS = ("question", "answer_a", "answer_b")


def read_static_hhh(*paths: Path) -> list[BenchmarkQuestion]:
    """Rows `chosen`, `rejected` (transcripts with one context) and `type`; the chosen answer comes first.

    Copies on the Hub have `input`, `targets` (choices and labels) instead, and a file per split.

    Raises:
        ConfigError: a file is unreadable or another benchmark's, or a split is unknown or empty.
    """
    questions = []
    for number, row in enumerate(row for path in paths for row in rows_of(NAME, path)):
        context, answers, better = _hub_pair(row) if "targets" in row[1] else _pair_of_transcripts(row)
        split = require(NAME, row, "type" if "type" in row[1] else DATASET_PART, str)
        if split not in SPLITS:
            raise ConfigError(f"{NAME}: {row[0]} is of split '{split}'; known: {', '.join(SPLITS)}")
        questions.append(BenchmarkQuestion(f"{number:04d}", context, answers, better, split))
    missing = [split for split in SPLITS if all(question.group != split for question in questions)]
    if missing:
        raise ConfigError(
            f"{NAME}: {' and '.join(map(str, paths))} holds no item of split {', '.join(missing)}; copy the file again"
        )
    return questions


def _pair_of_transcripts(row: Row) -> tuple[Conversation, tuple[str, str], int]:
    chosen, rejected = (parse_transcript(require(NAME, row, side, str)) for side in ("chosen", "rejected"))
    if chosen is None or rejected is None or chosen[:-1] != rejected[:-1]:
        raise ConfigError(f"{NAME}: {row[0]} is no pair of answers to one context")
    return chosen[:-1], (chosen[-1].text, rejected[-1].text), 0


def _hub_pair(row: Row) -> tuple[Conversation, tuple[str, str], int]:
    targets = require(NAME, row, "targets", dict)
    choices, labels = targets.get("choices"), targets.get("labels")
    if not isinstance(choices, list) or len(choices) != 2 or sorted(labels or ()) != [0, 1]:
        raise ConfigError(f"{NAME}: {row[0]} needs two choices in 'targets', exactly one of them labelled 1")
    context = (Turn(Role.HUMAN, require(NAME, row, "input", str).strip()),)
    return context, (choices[0], choices[1]), labels.index(1)


def ask_static_hhh(
    questions: Sequence[BenchmarkQuestion], template: PromptTemplate, rendering: Rendering
) -> list[ChoiceItem]:
    """Each question twice: the better response as A, then as B."""
    items = []
    for question in questions:
        ordered = question.answers if question.correct == 0 else question.answers[::-1]
        for better in (0, 1):
            shown = ordered if better == 0 else ordered[::-1]
            values = {"question": write_transcript(question.context), "answer_a": shown[0], "answer_b": shown[1]}
            prompt = rendering.render(template, values)
            choices = tuple(Choice(prompt, behind(prompt, option)) for option in template.options)
            order = "better_is_a" if better == 0 else "better_is_b"
            items.append(ChoiceItem(question.item_id, prompt, choices, better, question.group, order))
    return items


STATIC_HHH = Benchmark(
    title="Static HHH",
    data=DataFiles(
        NAME,
        (("hhh/*.json",), ("hhh/*.jsonl",)),
        tuple(f"hub:HuggingFaceH4/hhh_alignment@refs/convert/parquet?data_dir={split}&split=test" for split in SPLITS),
    ),
    read=lambda files: read_static_hhh(*files),
    ask=ask_static_hhh,
    placeholders=PLACEHOLDERS,
    options=2,
    for_reward_models=True,
    paper=PaperColumns(
        "Table 1: Static HHH alignment and TruthfulQA",
        (("Helpful", "helpful"), ("Harmless", "harmless"), ("Honest", "honest"), ("Other", "other"), ("All", ALL)),
        {
            "ALMoST SFT 7B": (79.7, 56.9, 65.6, 69.8, 67.8),
            "ALMoST PPO 7B": (81.4, 60.3, 62.3, 72.1, 68.8),
            "ALMoST RM 7B": (74.6, 67.2, 78.7, 86.0, 76.0),
            "Alpaca 7B": (71.2, 53.4, 62.3, 65.1, 62.9),
            "Vicuna 7B": (79.7, 72.4, 70.5, 76.7, 74.7),
            "Dolly-v2 12B": (67.8, 46.6, 50.7, 62.8, 56.6),
            "Oasst-v4 12B": (59.3, 56.9, 47.5, 69.8, 57.5),
            "Vicuna 13B": (78.0, 89.7, 70.5, 81.4, 79.6),
        },
    ),
)
