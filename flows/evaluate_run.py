"""The evaluation stage of a run: gold judge (tiny world), reward-model pairs, benchmarks of base, SFT, policy and RM."""

from dataclasses import dataclass, field

from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluations import Evaluations
from data_contracts.tables.topic_scores import TopicScores
from data_contracts.tables.verdicts import Answers, Verdicts
from flows.ingredients import Ingredients
from flows.running.run_stage import run_stage
from flows.running.stages import ANSWER_QUESTIONS, EVALUATE_BENCHMARK, JUDGE_PAIRS, REWARD_BENCHMARK, SCORE_TOPICS
from flows.synthetic_feedback import SyntheticFeedback
from flows.train_policy import TrainedPolicy
from models.evaluation.benchmarks.catalogue import FOR_REWARD_MODELS, Benchmark
from tasks.evaluation.evaluate_by_judge import gather_questions
from tasks.inputs.resolve_benchmarks import resolve_benchmarks
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_judge import resolve_judge, resolve_judge_prompt, resolve_questions
from tasks.reward.make_reward_card import make_reward_card
from tasks.reward.score_preference_pairs import score_gold_pairs, score_preference_file
from tasks.runtime.loaded_models import as_model
from tasks.tiny_world.judge_by_gold import judge_model_by_gold, judge_responses_by_gold


@dataclass(frozen=True)
class EvaluationTables:
    """Tables of evaluations; gold ones only exist in the tiny world."""

    responses: Artifact[Evaluations] | None = None
    gold_pairs: Artifact[Evaluations] | None = None
    models: list[Artifact[Evaluations]] = field(default_factory=list)
    preferences: list[Artifact[Evaluations]] = field(default_factory=list)
    benchmarks: list[Artifact[Evaluations]] = field(default_factory=list)
    verdicts: list[Artifact[Verdicts]] = field(default_factory=list)
    answers: dict[str, Artifact[Answers]] = field(default_factory=dict)
    reward_card: Artifact[RewardCardFiles] | None = None
    topics: Artifact[TopicScores] | None = None


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
        feedback.reward.scores,
        feedback.comparisons,
        config.responders,
        config.evaluation.reward_card,
        feedback.reward.training_log if config.reward.ensemble > 1 else None,
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
    responses = judge_responses_by_gold(feedback.responses, config.world, config.seeds.world)
    pairs = score_gold_pairs(
        feedback.reward.checkpoint, feedback.reward.scores, feedback.responses, responses, config.engine
    )
    models = [
        judge_model_by_gold(
            subject,
            model,
            given.world.questions,
            config.world,
            config.seeds.world,
            config.evaluation,
            config.engine,
            config.seeds.eval,
        )
        for subject, model in subjects.items()
    ]
    return EvaluationTables(responses, pairs, models, preferences, benchmarks, verdicts, answers, card, topics)


def _score_preferences(config: RunConfig, reward: ModelHandle) -> list[Artifact[Evaluations]]:
    evaluation = config.evaluation
    files = [resolve_file("evaluation.preference_files", file) for file in evaluation.preference_files]
    return [score_preference_file(file, evaluation.preference_rows, "reward", reward, config.engine) for file in files]


def _run_benchmarks(
    config: RunConfig, subjects: dict[str, ModelHandle], reward: ModelHandle
) -> list[Artifact[Evaluations]]:
    tables = []
    for benchmark in resolve_benchmarks(config.evaluation.benchmarks):
        for subject, model in subjects.items():
            tables.append(run_stage(EVALUATE_BENCHMARK, config.placement, subject, model, benchmark, config.engine))
        if Benchmark(benchmark.name) in FOR_REWARD_MODELS:
            tables.append(run_stage(REWARD_BENCHMARK, config.placement, "reward", reward, benchmark, config.engine))
    return tables


def _judge_pairs(
    config: RunConfig, given: Ingredients, subjects: dict[str, ModelHandle], policy: str
) -> tuple[dict[str, Artifact[Answers]], list[Artifact[Verdicts]]]:
    judging = config.evaluation.judge
    if judging.kind == "none":
        return {}, []
    questions = gather_questions(
        resolve_questions(judging), given.world.questions if given.world else None, judging.questions
    )
    pairs = [tuple(policy if name == "ppo" else name for name in pair.split(":")) for pair in judging.pairs]
    answers = {
        subject: run_stage(
            ANSWER_QUESTIONS,
            config.placement,
            subject,
            subjects[subject],
            questions,
            judging,
            config.engine,
            config.seeds.eval,
        )
        for subject in dict.fromkeys(subject for pair in pairs for subject in pair)
    }
    verdicts = [
        run_stage(
            JUDGE_PAIRS,
            config.placement,
            first,
            second,
            answers[first],
            answers[second],
            judging,
            resolve_judge(judging),
            resolve_judge_prompt(judging),
            config.engine,
            config.world,
            config.seeds.world,
            config.seeds.eval,
        )
        for first, second in pairs
    ]
    return answers, verdicts


def _score_topics(
    config: RunConfig, base: ModelHandle, answers: dict[str, Artifact[Answers]]
) -> Artifact[TopicScores] | None:
    others = config.evaluation.judge.topic_questions
    if not answers or not others:
        return None
    return run_stage(
        SCORE_TOPICS, config.placement, list(answers.values()), base, others, config.engine, config.seeds.eval
    )
