"""Profile section `evaluation`: what is measured, with which files, and who judges (ALMoST section 3, Appendix E).

Its sub-sections enter the keys of their own steps only, so that another benchmark does not judge everything again.
"""

from typing import Literal

from pydantic import Field, field_validator

from data_contracts.config.engine import EngineConfig
from data_contracts.config.section import Section
from data_contracts.store.keys import NOT_IN_KEY

SUBJECTS = ("base", "sft", "ppo")


class BenchmarkSettings(Section):
    """Benchmarks of files (ALMoST Tables 1 and 2)."""

    names: tuple[str, ...] = Field(
        default=(),
        title="Benchmarks",
        description="By the names of the catalogue, e.g. static_hhh; of the trained models and their base; empty: none",
    )
    folder: str | None = Field(
        default=None,
        title="Data folder",
        description="A folder for each benchmark, e.g. mmlu/; hub = public datasets; empty: ALMOST_DATA",
    )
    datasets: dict[str, tuple[str, ...]] = Field(
        default={},
        title="Other sources",
        description="Benchmark -> files, or hub:ID[@REVISION][?name=..&data_dir=..&split=..], in place of the folder's",
    )
    items: int | None = Field(
        default=None, ge=1, title="Items", description="First items of each benchmark, split and subject; empty: all"
    )
    mmlu_shots: int = Field(default=0, ge=0, le=5, title="MMLU shots", description="ALMoST 4.1: zero-shot")
    style: Literal["plain", "chat"] = Field(
        default="plain",
        title="Prompt style",
        description="plain = the template's text; chat = the model's own template",
    )
    templates: str | None = Field(
        default=None, title="Templates", description="Folder with NAME.txt in place of the project's, after Appendix E"
    )


class JudgeSettings(Section):
    """A/B tests by a judge (ALMoST section 3.1: 80 questions, scores from 1 to 10, both orders)."""

    kind: Literal["none", "gold", "model"] = Field(
        default="none", title="Judge", description="none; gold = the tiny world's; model = a language model"
    )
    model: str | None = Field(
        default=None,
        title="Judge model",
        description="Folder or Hub id; of a served judge its configuration and tokenizer",
        json_schema_extra=NOT_IN_KEY,
    )
    endpoint: Literal["completions", "chat"] = Field(
        default="completions",
        title="Judge's endpoint",
        description="chat = /chat/completions of a server: the model is a name there, no folder; completions = all else",
    )
    engine: EngineConfig | None = Field(
        default=None, title="Judge's engine", description="E.g. kind openai and base_url of a server; empty: the run's"
    )
    prompt: str | None = Field(
        default=None,
        title="Judge prompt",
        description="File with {question}, {answer_1}, {answer_2}; empty: the project's",
        json_schema_extra=NOT_IN_KEY,
    )
    questions_file: str | None = Field(
        default=None,
        title="Questions",
        description="Vicuna's format (question_id, text, category); empty: the tiny world's test questions",
        json_schema_extra=NOT_IN_KEY,
    )
    questions: int = Field(default=80, ge=1, title="Number of questions", description="ALMoST 3.1: Vicuna's 80")
    pairs: tuple[str, ...] = Field(
        default=("ppo:sft", "ppo:base"),
        title="Pairs",
        description="A:B of base, sft, ppo (the optimised policy, whatever policy.optimizer is); ALMoST figure 3",
        json_schema_extra=NOT_IN_KEY,
    )
    temperature: float = Field(default=0.2, ge=0, title="Judge's temperature", description="FastChat's reviewer")
    reply_tokens: int = Field(default=1024, ge=1, title="Judge's new tokens", description="FastChat's reviewer")
    answer_tokens: int = Field(default=384, ge=1, title="New tokens of answers", description="As responses, ALMoST C.2")
    answer_temperature: float = Field(default=1.0, ge=0, title="Temperature of answers", description="As responses")
    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass of answers", description="As responses")
    topic_questions: int = Field(
        default=4,
        ge=0,
        title="Other questions",
        description="An answer that one of them makes as likely as its own is off topic; 0 = not measured; ours",
        json_schema_extra=NOT_IN_KEY,
    )
    price_per_million_read: float = Field(
        default=0.0, ge=0, title="Price read", description="Per million prompt tokens", json_schema_extra=NOT_IN_KEY
    )
    price_per_million_written: float = Field(
        default=0.0, ge=0, title="Price written", description="Per million reply tokens", json_schema_extra=NOT_IN_KEY
    )

    @field_validator("pairs")
    @classmethod
    def _two_subjects(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        for pair in pairs:
            first, _, second = pair.partition(":")
            if first == second or first not in SUBJECTS or second not in SUBJECTS:
                raise ValueError(f"evaluation.judge.pairs: '{pair}' is not A:B of two of {', '.join(SUBJECTS)}")
        return pairs


class RewardCardSettings(Section):
    """When the reward-model card raises a flag; the values are ours."""

    least_pairs: int = Field(default=20, ge=1, title="Pairs for a flag", description="With fewer none is raised")
    flat_margin: float = Field(
        default=0.02, gt=0, title="Flat margin", description="Nats: win probability between .495 and .505"
    )
    flat_share: float = Field(
        default=0.9, gt=0, le=1, title="Collapsed from", description="Share of held-out pairs with a flat margin"
    )
    longer_share: float = Field(
        default=0.9, gt=0, le=1, title="Length bias from", description="Share in which the longer answer is chosen"
    )
    suspicious_longer_share: float = Field(
        default=0.7,
        gt=0,
        le=1,
        title="Suspicious from",
        description="Share that is a bias if pairs of like length are not shown to be better than chance",
    )
    like_length: float = Field(default=0.1, ge=0, le=1, title="Like length", description="Of the longer's characters")
    least_matched_pairs: int = Field(default=30, ge=1, title="Queries of like length", description="To say so")


class Evaluation(Section):
    """Gold judge (tiny world), RM pair accuracy, benchmarks, A/B judging."""

    questions: int = Field(default=200, ge=1, title="Test questions", description="Of the tiny world's test split")
    max_new_tokens: int = Field(default=64, ge=1, title="New tokens at most")
    temperature: float = Field(default=1.0, ge=0, title="Temperature", description="As the responders'; 0 = greedy")
    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="As the responders'")
    # Steps get files by content and the number of rows by itself, so that a path enters no key.
    preference_files: tuple[str, ...] = Field(
        default=(),
        title="Preference files",
        description="HH-RLHF format (jsonl, gz): chosen, rejected",
        json_schema_extra=NOT_IN_KEY,
    )
    preference_rows: int | None = Field(
        default=None,
        ge=1,
        title="Preference rows",
        description="First rows of each preference file; empty: all",
        json_schema_extra=NOT_IN_KEY,
    )
    overlap_files: tuple[str, ...] = Field(
        default=(),
        title="Evaluation texts",
        description="Mined queries that overlap these files are dropped",
        json_schema_extra=NOT_IN_KEY,
    )
    benchmarks: BenchmarkSettings = Field(default=BenchmarkSettings(), title="Benchmarks", json_schema_extra=NOT_IN_KEY)
    judge: JudgeSettings = Field(default=JudgeSettings(), title="A/B tests", json_schema_extra=NOT_IN_KEY)
    reward_card: RewardCardSettings = Field(
        default=RewardCardSettings(), title="Reward-model card", json_schema_extra=NOT_IN_KEY
    )
