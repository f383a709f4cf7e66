"""Pair accuracy of a reward model (ALMoST Table 3): on preference files, and on gold-judged pairs of the tiny world.

A row's `option_scores` are the rewards of (better, worse); `value` is 1 when the better one scores higher, .5 on a tie.
"""

from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.config.engine import EngineConfig
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import FileHandle, ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem, evaluation_row
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.world_tables import WorldQuestion
from models.evaluation.benchmarks.preferences import FIELD, read_preference_file, turns_group
from models.tiny_world.answers import write_answer
from models.tiny_world.corpus import draw_style
from models.tiny_world.judge import GoldJudge
from models.tiny_world.questions import parse_question
from models.tiny_world.world import Split, build_world
from tasks.runtime.context import count
from tasks.runtime.loaded_models import open_reward_folder, open_reward_model
from tasks.runtime.step import step

LEAST_GOLD_DIFFERENCE = 0.01  # half of what the judge takes off for the least fault, a hedge
CLEAR_GOLD_DIFFERENCE = 0.05  # more than a hedge alone
CLEAR, SLIGHT = "clear", "slight"
BENCHMARK_GOLD_PAIRS = "reward_gold_pairs"
BENCHMARK_LONGER = "longer_gold_pairs"
AUTHORS_DRAWN = 20  # tries to find two authors whose answers differ in gold


@step(version="4")
def score_gold_pairs(
    reward_model: Artifact[Checkpoint],
    heldout: Artifact[RewardScore],
    responses: list[Artifact[Response]],
    gold: Artifact[EvaluatedItem],
    engine: EngineConfig,
) -> Artifact[EvaluatedItem]:
    """Accuracy on pairs of responses to the RM's held-out queries, labelled by gold; beside it, "longer wins".

    A row's group says whether gold differs by `CLEAR_GOLD_DIFFERENCE` (`clear`) or by less (`slight`).
    """
    queries = {row["query_id"] for row in read(RewardScore, heldout).to_pylist() if row["split"] == "heldout"}
    score = dict(zip(*(read(EvaluatedItem, gold)[c].to_pylist() for c in ("item_id", "value")), strict=True))
    rows = [row for artifact in responses for row in read(Response, artifact).to_pylist()]
    rows = [
        row for row in rows if row["query_id"] in queries and row["response_id"] in score and row["response"].strip()
    ]
    return _write_pairs(reward_model, engine, rows, score)


@step(version="3")
def score_answer_pairs(
    reward_model: Artifact[Checkpoint], answers: list[Artifact[EvaluatedItem]], engine: EngineConfig
) -> Artifact[EvaluatedItem]:
    """As `score_gold_pairs`, on gold-judged answers of several models to one list of questions."""
    judged = [row for artifact in answers for row in read(EvaluatedItem, artifact).to_pylist()]
    rows = [
        {"query_id": r["item_id"], "response_id": r["evaluation_id"], "query": r["prompt"], "response": r["output"]}
        for r in judged
        if (r["output"] or "").strip()
    ]
    return _write_pairs(reward_model, engine, rows, {row["evaluation_id"]: row["value"] for row in judged})


@step(version="8")
def score_world_pairs(
    reward_model: Artifact[Checkpoint],
    questions: Artifact[WorldQuestion],
    world: WorldConfig,
    world_seed: int,
    engine: EngineConfig,
) -> Artifact[EvaluatedItem]:
    """As `score_gold_pairs`, on two authors' answers to each test question of the tiny world.

    The paper measures its reward model on preference data of others. The responders' own answers are a harder test:
    which of them is better is mostly a matter of facts.
    """
    facts = build_world(world, world_seed)
    judge, rng = GoldJudge(facts), np.random.default_rng([world_seed, 15])
    rows, gold = [], {}
    for row in read(WorldQuestion, questions).to_pylist():
        question = parse_question(row["question"])
        if row["split"] != Split.TEST.value or question is None:
            continue
        for _ in range(AUTHORS_DRAWN):
            answers = [write_answer(facts, question, draw_style(facts, rng), rng) for _ in range(2)]
            scores = [judge.judge(question, answer).score for answer in answers]
            if abs(scores[0] - scores[1]) >= LEAST_GOLD_DIFFERENCE:
                break
        else:
            continue
        for side, answer, score in zip("ab", answers, scores, strict=True):
            name = f"{row['question_id']}-{side}"
            gold[name] = score
            rows.append(
                {"query_id": row["question_id"], "response_id": name, "query": row["question"], "response": answer}
            )
    return _write_pairs(reward_model, engine, rows, gold)


def _write_pairs(
    reward_model: Artifact[Checkpoint], engine: EngineConfig, rows: list[dict[str, Any]], score: dict[str, float]
) -> Artifact[EvaluatedItem]:
    """Score all rows and write every pair of answers to one question whose gold differs."""
    rewards = open_reward_model(reward_model, engine).score([_single(row["query"], row["response"]) for row in rows])
    reward = {row["response_id"]: value for row, value in zip(rows, rewards, strict=True)}
    evaluations = []
    for better, worse in _gold_pairs(rows, score):
        names = f"{better['response_id']}>{worse['response_id']}"
        pair = [reward[better["response_id"]], reward[worse["response_id"]]]
        lengths = [float(len(better["response"])), float(len(worse["response"]))]
        apart = score[better["response_id"]] - score[worse["response_id"]]
        group = CLEAR if apart >= CLEAR_GOLD_DIFFERENCE else SLIGHT
        evaluations.append(_evaluation(BENCHMARK_GOLD_PAIRS, "reward", names, better["query"], pair, group))
        evaluations.append(_evaluation(BENCHMARK_LONGER, LONGER_WINS, names, better["query"], lengths, group))
    return write(EvaluatedItem, EvaluatedItem.from_rows(evaluations))


@step(version="2", run_name="{file.name}")
def score_preference_file(
    file: FileHandle, rows: int | None, subject: str, model: ModelHandle, engine: EngineConfig
) -> Artifact[EvaluatedItem]:
    """Accuracy on a file of HH-RLHF's format, and of "the longer one wins" on the same pairs (Table 3).

    A pair with a side that is longer than the model's positions keeps its row and says so.
    """
    scorer = open_reward_folder(model, engine)
    pairs, unusable = read_preference_file(Path(file.path), rows)
    fitting = [pair for pair in pairs if scorer.fits(pair[0]) and scorer.fits(pair[1])]
    count(pairs=len(fitting), pairs_too_long=len(pairs) - len(fitting), unusable_pairs=unusable)
    if not fitting:
        raise ConfigError(f"{FIELD}: no pair of {file.path} fits the reward model's context")
    scored = iter(scorer.score([side for pair in fitting for side in pair]))
    fits = set(map(id, fitting))
    evaluations = []
    for number, pair in enumerate(pairs):
        name, item_id, group = f"preferences:{file.name}", f"{number:06d}", turns_group(pair)
        if id(pair) not in fits:
            reason = f"a side is longer than the model's {scorer.max_length} positions"
            evaluations.append(_skipped(name, subject, item_id, pair[0][-2].text, group, reason))
            continue
        lengths = [float(len(side[-1].text)) for side in pair]
        evaluations.append(_evaluation(name, subject, item_id, pair[0][-2].text, [next(scored), next(scored)], group))
        evaluations.append(_evaluation(name, LONGER_WINS, item_id, pair[0][-2].text, lengths, group))
    return write(EvaluatedItem, EvaluatedItem.from_rows(evaluations))


def _single(query: str, response: str) -> Conversation:
    return (Turn(Role.HUMAN, query), Turn(Role.ASSISTANT, response))


def _gold_pairs(rows: list[dict[str, Any]], gold: dict[str, float]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(better, worse) responses to one query whose gold differs clearly."""
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    pairs = []
    for answers in by_query.values():
        ranked = sorted(answers, key=lambda row: -gold[row["response_id"]])
        pairs += [
            (better, worse)
            for place, better in enumerate(ranked)
            for worse in ranked[place + 1 :]
            if gold[better["response_id"]] - gold[worse["response_id"]] >= LEAST_GOLD_DIFFERENCE
        ]
    return pairs


def _evaluation(
    benchmark: str, subject: str, item_id: str, prompt: str, scores: list[float], group: str | None = None
) -> dict[str, Any]:
    value = 0.5 if scores[0] == scores[1] else float(scores[0] > scores[1])
    return evaluation_row(
        benchmark, subject, item_id, prompt, "accuracy", value, group=group, option_scores=scores, correct_option=0
    )


def _skipped(benchmark: str, subject: str, item_id: str, prompt: str, group: str, reason: str) -> dict[str, Any]:
    return evaluation_row(benchmark, subject, item_id, prompt, "accuracy", None, group=group, skipped_because=reason)
