"""A/B tests (ALMoST section 3.1): models answer questions, a judge scores pairs of answers in both orders.

Who judges is an argument; `open_judge` of models/evaluation/judging/judges.py knows how to open each kind of judge. Raw
replies are kept, those that cannot be read count apart, and a rerun does not ask again for a reply that came.
"""

from pathlib import Path

import tasks.evaluation.model_judge  # noqa: F401 - registers itself with `open_judge`
from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle, JudgeHandle, ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.verdicts import JudgeQuestion, JudgeVerdict, ModelAnswer, Order, Outcome
from data_contracts.tables.world_tables import WorldQuestion
from models.engines.protocol import SamplingSettings
from models.evaluation.benchmarks.prompt_template import fill, parse_template
from models.evaluation.judging.judge_questions import FIELD, JUDGE_PLACEHOLDERS, questions_of
from models.evaluation.judging.judge_reply import parse_reply
from models.evaluation.judging.judges import JudgePrompt, JudgeReply, open_judge
from models.evaluation.judging.reply_journal import ask_missing
from models.evaluation.judging.verdict_arithmetic import outcome_of
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix
from models.seeding import derive_seed
from tasks.runtime.context import ProgressReporter, count, job_folder
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

TEST_SPLIT = "test"


@step(version="2", phase=Phase.EVALUATION)
def gather_questions(
    *, file: FileHandle | None, world_questions: Rows[WorldQuestion] | None, questions: int
) -> Rows[JudgeQuestion]:
    """The first questions of a file in Vicuna's format (question_id, text, category), or of the world's test split.

    Raises:
        ConfigError: there is neither a file nor a world.
    """
    if file is not None:
        found = questions_of(Path(file.path))
    elif world_questions is not None:
        found = [
            JudgeQuestion(question_id=one.question_id, category=one.kind, question=one.question)
            for one in world_questions
            if one.split == TEST_SPLIT
        ]
    else:
        raise ConfigError(f"{FIELD} is empty; outside the tiny world A/B tests need a file of questions")
    return rows_of(JudgeQuestion, found[:questions])


@step(version="2", phase=Phase.EVALUATION, heavy=True, run_name="{subject}")
def answer_questions(
    *,
    subject: str,
    model: ModelHandle,
    questions: Rows[JudgeQuestion],
    judging: JudgeSettings,
    engine: EngineConfig,
    seed: int,
) -> Rows[ModelAnswer]:
    """One answer of a model to each question, with no shot."""
    asked = list(questions)
    settings = SamplingSettings(judging.answer_tokens, judging.answer_temperature, judging.top_p, ASSISTANT_STOPS)
    suffixes = [assistant_suffix([Turn(Role.HUMAN, one.question)]) for one in asked]
    seeds = [derive_seed(seed, "judged answer", one.question_id) for one in asked]
    lazy = LazyEngine(model, engine)
    completions = lazy.open().generate("", suffixes, seeds, settings)
    lazy.count_tokens()
    answers = [
        ModelAnswer(
            answer_id=f"{subject}:{one.question_id}",
            subject=subject,
            question_id=one.question_id,
            category=one.category,
            question=one.question,
            answer=completion.text,
            tokens=completion.token_count,
            finish_reason=completion.finish_reason,
            seed=completion.seed,
        )
        for one, completion in zip(asked, completions, strict=True)
    ]
    return rows_of(ModelAnswer, answers)


@step(version="3", phase=Phase.EVALUATION, heavy=True, run_name="{subject_a}-{subject_b}")
def judge_pairs(
    *,
    subject_a: str,
    subject_b: str,
    answers_a: Rows[ModelAnswer],
    answers_b: Rows[ModelAnswer],
    judge: JudgeHandle,
    judging: JudgeSettings,
    prompt: PromptHandle,
    engine: EngineConfig,
    seed: int,
) -> Rows[JudgeVerdict]:
    """Verdicts on every question both answered, in both orders."""
    template = parse_template(prompt.source, prompt.text, JUDGE_PLACEHOLDERS, options=0)
    other = {answer.question_id: answer for answer in answers_b}
    pairs = [(answer, other[answer.question_id]) for answer in answers_a if answer.question_id in other]
    asked = [(a, b, order) for a, b in pairs for order in Order]
    prompts = [_prompt(template.text, *both, seed) for both in asked]
    progress = ProgressReporter(len(prompts), "verdicts")
    replies, now = ask_missing(
        job_folder("judge") / "replies.jsonl", lambda: open_judge(judge, judging, engine), prompts, progress.update
    )
    verdicts = [_verdict(subject_a, subject_b, *both, reply) for both, reply in zip(asked, replies, strict=True)]
    _count_cost(judging, replies, now, sum(verdict.outcome is Outcome.UNPARSABLE for verdict in verdicts))
    return rows_of(JudgeVerdict, verdicts)


def _prompt(template: str, a: ModelAnswer, b: ModelAnswer, order: Order, seed: int) -> JudgePrompt:
    first, second = (a.answer, b.answer) if order is Order.AB else (b.answer, a.answer)
    text = fill(template, {"question": a.question, "answer_1": first, "answer_2": second})
    own_seed = derive_seed(seed, "judge", a.question_id, order)
    return JudgePrompt(f"{a.question_id}:{order}", a.question, first, second, text, own_seed)


def _verdict(
    subject_a: str, subject_b: str, a: ModelAnswer, b: ModelAnswer, order: Order, reply: JudgeReply
) -> JudgeVerdict:
    parsed = parse_reply(reply.text)
    problem = reply.failure or parsed.problem
    scores = None if problem else parsed.scores
    if scores is None:
        score_a = score_b = None
        outcome = Outcome.UNPARSABLE
    else:
        score_a, score_b = scores if order is Order.AB else scores[::-1]
        outcome = outcome_of(score_a, score_b)
    return JudgeVerdict(
        verdict_id=f"{subject_a}:{subject_b}:{a.question_id}:{order}",
        question_id=a.question_id,
        category=a.category,
        question=a.question,
        subject_a=subject_a,
        subject_b=subject_b,
        order=order,
        answer_a_chars=len(a.answer),
        answer_b_chars=len(b.answer),
        score_a=score_a,
        score_b=score_b,
        outcome=outcome,
        unparsable_because=problem,
        explanation=parsed.explanation,
        raw_reply=reply.text,
        prompt_tokens=reply.prompt_tokens,
        reply_tokens=reply.reply_tokens,
    )


def _count_cost(judging: JudgeSettings, replies: list[JudgeReply], asked: int, unparsable: int) -> None:
    read_tokens = sum(reply.prompt_tokens or 0 for reply in replies)
    written = sum(reply.reply_tokens or 0 for reply in replies)
    count(judge_replies=len(replies), judge_asked_now=asked, judge_unparsable=unparsable)
    count(judge_prompt_tokens=read_tokens, judge_reply_tokens=written)
    cost = (read_tokens * judging.price_per_million_read + written * judging.price_per_million_written) / 1e6
    if cost:
        count(judge_cost=cost)
