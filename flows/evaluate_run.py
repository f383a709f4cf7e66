"""What a run measures: pairs, benchmarks and A/B tests of base, SFT, policy and reward model; gold in the tiny world."""

from dataclasses import dataclass, field

from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import JudgeVerdict, ModelAnswer
from flows.ingredients import Ingredients
from flows.synthetic_feedback import SyntheticFeedback
from flows.train_policy import TrainedPolicy
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from tasks.evaluation.evaluate_benchmark import evaluate_benchmark, reward_benchmark
from tasks.evaluation.evaluate_by_judge import answer_questions, gather_questions, judge_pairs
from tasks.evaluation.score_topics import score_topics
from tasks.inputs.resolve_benchmarks import resolve_benchmarks
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_judge import resolve_judge, resolve_judge_prompt, resolve_questions
from tasks.reward.make_reward_card import make_reward_card
from tasks.reward.score_preference_file import score_preference_file
from tasks.runtime.loaded_models import as_model
from tasks.tiny_world.judge_by_gold import judge_model_by_gold, judge_responses_by_gold
from tasks.tiny_world.score_gold_pairs import score_gold_pairs


@dataclass(frozen=True)
class EvaluationTables:
    """Tables of evaluations; gold ones only exist in the tiny world."""

    responses: Rows[EvaluatedItem] | None = None
    gold_pairs: Rows[EvaluatedItem] | None = None
    models: list[Rows[EvaluatedItem]] = field(default_factory=list)
    preferences: list[Rows[EvaluatedItem]] = field(default_factory=list)
    benchmarks: list[Rows[EvaluatedItem]] = field(default_factory=list)
    verdicts: list[Rows[JudgeVerdict]] = field(default_factory=list)
    answers: dict[str, Rows[ModelAnswer]] = field(default_factory=dict)
    reward_card: Folder[RewardCardFiles] | None = None
    topics: Rows[TopicScore] | None = None


def evaluate_run(
    config: RunConfig, given: Ingredients, feedback: SyntheticFeedback, policy: TrainedPolicy
) -> EvaluationTables:
    """Judge responders, base, SFT and the optimised policy by gold where there is gold; score the reward model on pairs.

    The policy goes by its algorithm's name.
    """
    reward = as_model("reward", feedback.reward.checkpoint)
    subjects = {
        "base": given.models["policy"],
        "sft": as_model("sft", policy.sft.checkpoint),
        policy.algorithm.value: as_model(policy.algorithm.value, policy.checkpoint),
    }
    preferences = _score_preferences(config, reward)
    benchmarks = _run_benchmarks(config, subjects, reward)
    answers, verdicts = _judge_pairs(config, given, subjects, policy.algorithm.value)
    topics = _score_topics(config, subjects["base"], answers)
    card = make_reward_card(
        scores=feedback.reward.scores,
        comparisons=feedback.comparisons,
        responders=config.responders,
        settings=config.evaluation.reward_card,
        log=feedback.reward.training_log if config.reward.ensemble > 1 else None,
    )
    if config.world is None or given.world is None:
        return EvaluationTables(
            preferences=preferences,
            benchmarks=benchmarks,
            verdicts=verdicts,
            answers=answers,
            reward_card=card,
            topics=topics,
        )
    responses = judge_responses_by_gold(responses=feedback.responses, world=config.world, world_seed=config.seeds.world)
    pairs = score_gold_pairs(
        reward_model=feedback.reward.checkpoint,
        heldout=feedback.reward.scores,
        responses=feedback.responses,
        gold=responses,
        engine=config.engine,
    )
    models = [
        judge_model_by_gold(
            subject=subject,
            model=model,
            questions=given.world.questions,
            world=config.world,
            world_seed=config.seeds.world,
            evaluation=config.evaluation,
            engine=config.engine,
            seed=config.seeds.eval,
        )
        for subject, model in subjects.items()
    ]
    return EvaluationTables(responses, pairs, models, preferences, benchmarks, verdicts, answers, card, topics)


def _score_preferences(config: RunConfig, reward: ModelHandle) -> list[Rows[EvaluatedItem]]:
    evaluation = config.evaluation
    files = [resolve_file("evaluation.preference_files", file) for file in evaluation.preference_files]
    return [
        score_preference_file(
            file=file, rows=evaluation.preference_rows, subject="reward", model=reward, engine=config.engine
        )
        for file in files
    ]


def _run_benchmarks(
    config: RunConfig, subjects: dict[str, ModelHandle], reward: ModelHandle
) -> list[Rows[EvaluatedItem]]:
    tables = []
    for benchmark in resolve_benchmarks(config.evaluation.benchmarks):
        for subject, model in subjects.items():
            tables.append(evaluate_benchmark(subject=subject, model=model, benchmark=benchmark, engine=config.engine))
        if BENCHMARKS[benchmark.name].for_reward_models:
            tables.append(reward_benchmark(subject="reward", model=reward, benchmark=benchmark, engine=config.engine))
    return tables


def _judge_pairs(
    config: RunConfig, given: Ingredients, subjects: dict[str, ModelHandle], policy: str
) -> tuple[dict[str, Rows[ModelAnswer]], list[Rows[JudgeVerdict]]]:
    judging = config.evaluation.judge
    if judging.kind == "none":
        return {}, []
    questions = gather_questions(
        file=resolve_questions(judging),
        world_questions=given.world.questions if given.world else None,
        questions=judging.questions,
    )
    pairs = [tuple(policy if name == "ppo" else name for name in pair.split(":")) for pair in judging.pairs]
    answers = {
        subject: answer_questions(
            subject=subject,
            model=subjects[subject],
            questions=questions,
            judging=judging,
            engine=config.engine,
            seed=config.seeds.eval,
        )
        for subject in dict.fromkeys(subject for pair in pairs for subject in pair)
    }
    verdicts = [
        judge_pairs(
            subject_a=first,
            subject_b=second,
            answers_a=answers[first],
            answers_b=answers[second],
            judging=judging,
            judge=resolve_judge(config),
            prompt=resolve_judge_prompt(judging),
            engine=config.engine,
            seed=config.seeds.eval,
        )
        for first, second in pairs
    ]
    return answers, verdicts


def _score_topics(
    config: RunConfig, base: ModelHandle, answers: dict[str, Rows[ModelAnswer]]
) -> Rows[TopicScore] | None:
    others = config.evaluation.judge.topic_questions
    if not answers or not others:
        return None
    return score_topics(
        answers=list(answers.values()), base=base, others=others, engine=config.engine, seed=config.seeds.eval
    )
