"""What a benchmark asks, before it becomes a prompt: a context, its possible answers, and which is right."""

from dataclasses import dataclass

from data_contracts.conversation import Conversation


@dataclass(frozen=True)
class BenchmarkQuestion:
    """One item of a benchmark file; `group` is its split (HHH) or subject (MMLU)."""

    item_id: str
    context: Conversation
    answers: tuple[str, ...]
    correct: int
    group: str | None = None
