"""Judge answers by the tiny world's facts (DESIGN section 7): of the responders, and of trained models.

Only the tiny world has such a judge; elsewhere nothing is judged here and no such metric appears.
"""

from typing import Any

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import Evaluation
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Role, Turn
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.evaluations import EvaluatedItem, evaluation_row
from data_contracts.tables.responses import FAILED, Response
from data_contracts.tables.world_tables import WorldQuestion
from models.engines.protocol import SamplingSettings
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix, parse_prompt_set
from models.seeding import derive_seed
from models.tiny_world.judge import GoldJudge
from models.tiny_world.world import build_world
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.step import step

BENCHMARK_RESPONSES = "gold_responses"
BENCHMARK_QUESTIONS = "gold_questions"
BENCHMARK_DEMONSTRATIONS = "gold_demonstrations"
TEST_SPLIT = "test"


@step(version="3")
def judge_responses_by_gold(
    responses: list[Artifact[Response]], world: WorldConfig, world_seed: int
) -> Artifact[EvaluatedItem]:
    """Gold score of every response whose query the judge understands; subject is the responder."""
    judge = GoldJudge(build_world(world, world_seed))
    rows = []
    for artifact in responses:
        for row in read(Response, artifact).to_pylist():
            if row["finish_reason"] == FAILED:
                continue
            judged = _row(
                judge, BENCHMARK_RESPONSES, row["responder"], row["response_id"], row["query"], row["response"]
            )
            rows += [judged] if judged else []
    return write(EvaluatedItem, EvaluatedItem.from_rows(rows))


@step(version="3")
def judge_demonstrations_by_gold(
    demonstrations: Artifact[Demonstration], world: WorldConfig, world_seed: int
) -> Artifact[EvaluatedItem]:
    """Gold of self-play's usable answers: subject `chosen`, and `candidates`, the mean of all N beside it."""
    judge = GoldJudge(build_world(world, world_seed))
    rows = []
    for row in read(Demonstration, demonstrations).to_pylist():
        question = row["context"][-1]["text"]
        chosen = _row(judge, BENCHMARK_DEMONSTRATIONS, "chosen", row["demonstration_id"], question, row["response"])
        if chosen is None or not row["usable"]:
            continue
        texts = [c["text"] for c in row["candidates"] if c["finish_reason"] != FAILED]
        scores = [judged.score for text in texts if (judged := judge.score(question, text)) is not None]
        mean = sum(scores) / len(scores)
        name = f"{BENCHMARK_DEMONSTRATIONS}:candidates:{row['demonstration_id']}"
        rows += [chosen, chosen | {"evaluation_id": name, "subject": "candidates", "output": None, "value": mean}]
    return write(EvaluatedItem, EvaluatedItem.from_rows(rows))


@step(version="4", run_name="{subject}")
def judge_model_by_gold(
    subject: str,
    model: ModelHandle,
    questions: Artifact[WorldQuestion],
    world: WorldConfig,
    world_seed: int,
    evaluation: Evaluation,
    engine: EngineConfig,
    seed: int,
    prompts: PromptHandle | None = None,
    shots: int = 0,
) -> Artifact[EvaluatedItem]:
    """Let a model answer test questions and judge the answers; trained models get no shot, vanilla ones may."""
    asked = [row for row in read(WorldQuestion, questions).to_pylist() if row["split"] == TEST_SPLIT]
    asked = asked[: evaluation.questions]
    settings = SamplingSettings(evaluation.max_new_tokens, evaluation.temperature, evaluation.top_p, ASSISTANT_STOPS)
    suffixes = [assistant_suffix([Turn(Role.HUMAN, row["question"])]) for row in asked]
    seeds = [derive_seed(seed, "gold", row["question_id"]) for row in asked]
    lazy = LazyEngine(model, engine)
    prefix = parse_prompt_set(prompts.name, prompts.text, prompts.source).prefix(shots) if prompts else ""
    completions = lazy.open().generate(prefix, suffixes, seeds, settings)
    lazy.count_tokens()
    judge = GoldJudge(build_world(world, world_seed))
    rows = [
        _row(judge, BENCHMARK_QUESTIONS, subject, row["question_id"], row["question"], completion.text)
        for row, completion in zip(asked, completions, strict=True)
    ]
    return write(EvaluatedItem, EvaluatedItem.from_rows([row for row in rows if row]))


def _row(
    judge: GoldJudge, benchmark: str, subject: str, item_id: str, question: str, answer: str
) -> dict[str, Any] | None:
    judgment = judge.score(question, answer)
    if judgment is None:
        return None
    return evaluation_row(
        benchmark,
        subject,
        item_id,
        question,
        "gold",
        judgment.score,
        output=answer,
        explanation=judgment.critique,
    )
