"""Judge answers by the tiny world's facts: of the responders, and of trained models.

Only the tiny world has such a judge; elsewhere nothing is judged here and no such metric appears.
"""

from collections.abc import Iterator
from dataclasses import replace

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import Evaluation
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Role, Turn
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, rows_of, stream
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from data_contracts.tables.responses import Response
from data_contracts.tables.world_tables import WorldQuestion
from models.engines.protocol import SamplingSettings
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix, parse_prompt_set
from models.seeding import derive_seed
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import Split, build_world
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

BENCHMARK_RESPONSES = "gold_responses"
BENCHMARK_QUESTIONS = "gold_questions"
BENCHMARK_DEMONSTRATIONS = "gold_demonstrations"


@step(version="4", phase=Phase.EVALUATION)
def judge_responses_by_gold(
    *, responses: list[Rows[Response]], world: WorldConfig, world_seed: int
) -> Rows[EvaluatedItem]:
    """Gold score of every response whose query the judge understands; subject is the responder."""
    judge = GoldJudge(build_world(world, world_seed))

    def judged() -> Iterator[EvaluatedItem]:
        for response in (response for table in responses for response in table):
            if response.finish_reason is FinishReason.FAILED:
                continue
            item = _judged(
                judge,
                BENCHMARK_RESPONSES,
                response.responder,
                response.response_id,
                response.query,
                response.response,
            )
            if item is not None:
                yield item

    return stream(EvaluatedItem, judged)


@step(version="4", phase=Phase.EVALUATION)
def judge_demonstrations_by_gold(
    *, demonstrations: Rows[Demonstration], world: WorldConfig, world_seed: int
) -> Rows[EvaluatedItem]:
    """Gold of self-play's usable answers: subject `chosen`, and `candidates`, the mean of all N beside it."""
    judge = GoldJudge(build_world(world, world_seed))

    def judged() -> Iterator[EvaluatedItem]:
        for demonstration in demonstrations:
            name, question = demonstration.demonstration_id, demonstration.context[-1].text
            chosen = _judged(judge, BENCHMARK_DEMONSTRATIONS, "chosen", name, question, demonstration.response)
            if chosen is None or not demonstration.usable:
                continue
            texts = [c.text for c in demonstration.candidates if c.finish_reason is not FinishReason.FAILED]
            scores = [found.score for text in texts if (found := judge.score(question, text)) is not None]
            yield chosen
            yield replace(
                chosen,
                evaluation_id=f"{BENCHMARK_DEMONSTRATIONS}:candidates:{name}",
                subject="candidates",
                output=None,
                value=sum(scores) / len(scores),
            )

    return stream(EvaluatedItem, judged)


@step(version="5", phase=Phase.EVALUATION, run_name="{subject}")
def judge_model_by_gold(
    *,
    subject: str,
    model: ModelHandle,
    questions: Rows[WorldQuestion],
    world: WorldConfig,
    world_seed: int,
    evaluation: Evaluation,
    engine: EngineConfig,
    seed: int,
    prompts: PromptHandle | None = None,
    shots: int = 0,
) -> Rows[EvaluatedItem]:
    """Let a model answer test questions and judge the answers; trained models get no shot, vanilla ones may."""
    asked = [question for question in questions if question.split == Split.TEST][: evaluation.questions]
    settings = SamplingSettings(evaluation.max_new_tokens, evaluation.temperature, evaluation.top_p, ASSISTANT_STOPS)
    suffixes = [assistant_suffix([Turn(Role.HUMAN, one.question)]) for one in asked]
    seeds = [derive_seed(seed, "gold", one.question_id) for one in asked]
    lazy = LazyEngine(model, engine)
    prefix = parse_prompt_set(prompts.name, prompts.text, prompts.source).prefix(shots) if prompts else ""
    completions = lazy.open().generate(prefix, suffixes, seeds, settings)
    lazy.count_tokens()
    judge = GoldJudge(build_world(world, world_seed))
    found = [
        _judged(judge, BENCHMARK_QUESTIONS, subject, one.question_id, one.question, completion.text)
        for one, completion in zip(asked, completions, strict=True)
    ]
    return rows_of(EvaluatedItem, [item for item in found if item is not None])


def _judged(
    judge: GoldJudge, benchmark: str, subject: str, item_id: str, question: str, answer: str
) -> EvaluatedItem | None:
    """The answer with its gold score; None when the text is no question of this world."""
    judgment = judge.score(question, answer)
    if judgment is None:
        return None
    return evaluated_item(
        benchmark,
        subject,
        item_id,
        question,
        "gold",
        judgment.score,
        output=answer,
        explanation=judgment.critique,
    )
