"""A/B tests (ALMoST section 3.1): models answer questions, a judge scores pairs of answers in both orders.

The judge is a model (local, or behind a completions or chat server) or the tiny world's gold judge. Its raw replies are kept, those that
cannot be read count apart, and a rerun does not ask again for a reply that came.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle, ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.verdicts import JudgeQuestion, JudgeVerdict, ModelAnswer, Order, Outcome
from data_contracts.tables.world_tables import WorldQuestion
from models.engines.protocol import SamplingSettings
from models.evaluation.benchmarks.prompt_template import fill, parse_template
from models.evaluation.judging.chat_judge import open_chat_judge
from models.evaluation.judging.judge_questions import FIELD, JUDGE_PLACEHOLDERS, questions_of
from models.evaluation.judging.judge_reply import parse_reply
from models.evaluation.judging.judges import EngineJudge, GoldReplies, Judge, JudgePrompt, JudgeReply
from models.evaluation.judging.reply_journal import ask_missing
from models.evaluation.judging.verdict_arithmetic import outcome_of
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix
from models.seeding import derive_seed
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import build_world
from tasks.runtime.context import ProgressReporter, count, current, job_folder
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.step import step

TEST_SPLIT = "test"
SERVER_ROWS = 8  # replies of a server that may be in flight when the profile does not say


@step(version="1")
def gather_questions(
    file: FileHandle | None, world_questions: Artifact[WorldQuestion] | None, questions: int
) -> Artifact[JudgeQuestion]:
    """The first questions of a file in Vicuna's format (question_id, text, category), or of the world's test split."""
    if file is not None:
        rows = questions_of(Path(file.path))[:questions]
    elif world_questions is not None:
        asked = [row for row in read(WorldQuestion, world_questions).to_pylist() if row["split"] == TEST_SPLIT]
        rows = [
            {"question_id": row["question_id"], "category": row["kind"], "question": row["question"]}
            for row in asked[:questions]
        ]
    else:
        raise ConfigError(f"{FIELD} is empty; outside the tiny world A/B tests need a file of questions")
    return write(JudgeQuestion, JudgeQuestion.from_rows(rows))


@step(version="1", run_name="{subject}")
def answer_questions(
    subject: str,
    model: ModelHandle,
    questions: Artifact[JudgeQuestion],
    judging: JudgeSettings,
    engine: EngineConfig,
    seed: int,
) -> Artifact[ModelAnswer]:
    """One answer of a model to each question, with no shot."""
    asked = read(JudgeQuestion, questions).to_pylist()
    settings = SamplingSettings(judging.answer_tokens, judging.answer_temperature, judging.top_p, ASSISTANT_STOPS)
    suffixes = [assistant_suffix([Turn(Role.HUMAN, row["question"])]) for row in asked]
    seeds = [derive_seed(seed, "judged answer", row["question_id"]) for row in asked]
    lazy = LazyEngine(model, engine)
    completions = lazy.open().generate("", suffixes, seeds, settings)
    lazy.count_tokens()
    rows = [
        row
        | {"answer_id": f"{subject}:{row['question_id']}", "subject": subject, "answer": completion.text}
        | {"tokens": completion.token_count, "finish_reason": completion.finish_reason.value, "seed": completion.seed}
        for row, completion in zip(asked, completions, strict=True)
    ]
    return write(ModelAnswer, ModelAnswer.from_rows(rows))


@step(version="2", run_name="{subject_a}-{subject_b}")
def judge_pairs(
    subject_a: str,
    subject_b: str,
    answers_a: Artifact[ModelAnswer],
    answers_b: Artifact[ModelAnswer],
    judging: JudgeSettings,
    judge_model: ModelHandle | None,
    prompt: PromptHandle,
    engine: EngineConfig,
    world: WorldConfig | None,
    world_seed: int,
    seed: int,
) -> Artifact[JudgeVerdict]:
    """Verdicts on every question both answered, in both orders."""
    template = parse_template(prompt.source, prompt.text, JUDGE_PLACEHOLDERS, options=0)
    other = {row["question_id"]: row for row in read(ModelAnswer, answers_b).to_pylist()}
    pairs = [
        (a, other[a["question_id"]]) for a in read(ModelAnswer, answers_a).to_pylist() if a["question_id"] in other
    ]
    asked = [(a, b, order) for a, b in pairs for order in Order]
    prompts = [_prompt(template.text, *both, seed) for both in asked]
    lazies: list[LazyEngine] = []
    progress = ProgressReporter(len(prompts), "verdicts")
    replies, now = ask_missing(
        job_folder("judge") / "replies.jsonl",
        _judge_opener(judging, judge_model, engine, world, world_seed, lazies),
        prompts,
        progress.update,
    )
    for lazy in lazies:
        lazy.count_tokens()
    rows = [_verdict(subject_a, subject_b, *both, reply) for both, reply in zip(asked, replies, strict=True)]
    _count_cost(judging, replies, now, sum(row["outcome"] == Outcome.UNPARSABLE for row in rows))
    return write(JudgeVerdict, JudgeVerdict.from_rows(rows))


def _prompt(template: str, a: dict[str, Any], b: dict[str, Any], order: Order, seed: int) -> JudgePrompt:
    first, second = (a["answer"], b["answer"]) if order is Order.AB else (b["answer"], a["answer"])
    text = fill(template, {"question": a["question"], "answer_1": first, "answer_2": second})
    own_seed = derive_seed(seed, "judge", a["question_id"], order)
    return JudgePrompt(f"{a['question_id']}:{order}", a["question"], first, second, text, own_seed)


def _judge_opener(
    judging: JudgeSettings,
    model: ModelHandle | None,
    engine: EngineConfig,
    world: WorldConfig | None,
    world_seed: int,
    lazies: list[LazyEngine],
) -> Callable[[], Judge]:
    def open_judge() -> Judge:
        if judging.kind == "gold":
            if world is None:
                raise ConfigError("evaluation.judge.kind 'gold' needs the tiny world; use 'model'")
            return GoldReplies(GoldJudge(build_world(world, world_seed)))
        if model is None:
            raise ConfigError("evaluation.judge.kind 'model' needs evaluation.judge.model, a folder or a Hub id")
        settings = SamplingSettings(judging.reply_tokens, judging.temperature)
        if judging.endpoint == "chat":
            judge = open_chat_judge(judging.engine or engine, model.name, settings)
            current().resources.callback(judge.client.close)
            return judge
        # A refusal is an outcome that is counted, however many there are.
        own = (judging.engine or engine).model_copy(update={"failed_share": 1.0})
        lazies.append(LazyEngine(model, own))
        config = lazies[-1].config
        at_once = (config.concurrency or SERVER_ROWS) if config.base_url else config.batch_size
        return EngineJudge(lazies[-1].open(), settings, at_once)

    return open_judge


def _verdict(
    subject_a: str, subject_b: str, a: dict[str, Any], b: dict[str, Any], order: Order, reply: JudgeReply
) -> dict[str, Any]:
    parsed = parse_reply(reply.text)
    problem = reply.failure or parsed.problem
    scores = None if problem else parsed.scores
    score_a, score_b = (None, None) if scores is None else scores if order is Order.AB else scores[::-1]
    decided = score_a is not None and score_b is not None
    return {
        "verdict_id": f"{subject_a}:{subject_b}:{a['question_id']}:{order}",
        "question_id": a["question_id"],
        "category": a["category"],
        "question": a["question"],
        "subject_a": subject_a,
        "subject_b": subject_b,
        "order": order.value,
        "answer_a_chars": len(a["answer"]),
        "answer_b_chars": len(b["answer"]),
        "score_a": score_a,
        "score_b": score_b,
        "outcome": (outcome_of(score_a, score_b) if decided else Outcome.UNPARSABLE).value,  # type: ignore[arg-type]
        "unparsable_because": problem,
        "explanation": parsed.explanation,
        "raw_reply": reply.text,
        "prompt_tokens": reply.prompt_tokens,
        "reply_tokens": reply.reply_tokens,
    }


def _count_cost(judging: JudgeSettings, replies: list[JudgeReply], asked: int, unparsable: int) -> None:
    read_tokens = sum(reply.prompt_tokens or 0 for reply in replies)
    written = sum(reply.reply_tokens or 0 for reply in replies)
    count(judge_replies=len(replies), judge_asked_now=asked, judge_unparsable=unparsable)
    count(judge_prompt_tokens=read_tokens, judge_reply_tokens=written)
    cost = (read_tokens * judging.price_per_million_read + written * judging.price_per_million_written) / 1e6
    if cost:
        count(judge_cost=cost)
