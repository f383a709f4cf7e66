"""LAMBADA (Paperno et al. 2016; ALMoST section 4.1): would greedy decoding write the passage's last word?

The word counts as written when each of its tokens is the likeliest in its place, as in lm-evaluation-harness. There is
no prompt around the passage unless a template gives one.
"""

from collections.abc import Sequence
from pathlib import Path

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.benchmark import ALL, Benchmark, DataFiles, PaperColumns
from models.evaluation.benchmarks.benchmark_files import require, rows_of
from models.evaluation.benchmarks.choice_items import Choice, ChoiceItem
from models.evaluation.benchmarks.prompt_template import PromptTemplate, Rendering, behind
from models.evaluation.benchmarks.questions import BenchmarkQuestion

NAME = "lambada"
PLACEHOLDERS = ("passage",)


def read_lambada(path: Path) -> list[BenchmarkQuestion]:
    """Rows `text`; what stands behind the last white space is the word asked for.

    Raises:
        ConfigError: the file is unreadable or another benchmark's, or a passage has fewer than two words.
    """
    questions = []
    for number, row in enumerate(rows_of(NAME, path)):
        pieces = require(NAME, row, "text", str).strip().rsplit(maxsplit=1)
        if len(pieces) < 2:
            raise ConfigError(f"{NAME}: {row[0]} has fewer than two words")
        questions.append(BenchmarkQuestion(f"{number:04d}", (Turn(Role.HUMAN, pieces[0]),), (pieces[1],), 0))
    return questions


def ask_lambada(
    questions: Sequence[BenchmarkQuestion], template: PromptTemplate, rendering: Rendering
) -> list[ChoiceItem]:
    """The passage without its last word, and the word as the one option."""
    items = []
    for question in questions:
        prompt = rendering.render(template, {"passage": question.context[-1].text})
        word = behind(prompt, question.answers[0])
        items.append(ChoiceItem(question.item_id, prompt, (Choice(prompt, word),), 0, greedy=True))
    return items


LAMBADA = Benchmark(
    title="LAMBADA",
    data=DataFiles(
        NAME,
        (("lambada/*.jsonl",), ("lambada/*.parquet",)),
        ("hub:EleutherAI/lambada_openai?name=default&split=test",),
    ),
    read=lambda files: read_lambada(files[0]),
    ask=ask_lambada,
    placeholders=PLACEHOLDERS,
    options=0,
    paper=PaperColumns(
        "Table 2: MMLU and LAMBADA, zero-shot",
        (("LAMBADA", ALL),),
        {"LLaMA 7B": (72.1,), "Alpaca 7B": (64.1,), "ALMoST SFT 7B": (68.0,), "ALMoST PPO 7B": (65.4,)},
    ),
)
