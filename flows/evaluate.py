"""A first evaluation: the tiny world's gold judge, and pair accuracy of the reward model."""

from dataclasses import dataclass, field

from data_contracts.artifact import Artifact
from data_contracts.evaluations import Evaluations
from data_contracts.run_config import RunConfig
from flows.ingredients import Ingredients
from flows.synthetic_feedback import SyntheticFeedback
from flows.train_policy import TrainedPolicy
from tasks.evaluate_reward_model import score_gold_pairs, score_preference_file
from tasks.judge_by_gold import judge_model_by_gold, judge_responses_by_gold
from tasks.loaded_models import as_model
from tasks.resolve_inputs import resolve_file


@dataclass(frozen=True)
class EvaluationTables:
    """Tables of evaluations; gold ones only exist in the tiny world."""

    responses: Artifact[Evaluations] | None = None
    gold_pairs: Artifact[Evaluations] | None = None
    models: list[Artifact[Evaluations]] = field(default_factory=list)
    preferences: list[Artifact[Evaluations]] = field(default_factory=list)


def evaluate(
    config: RunConfig, given: Ingredients, feedback: SyntheticFeedback, policy: TrainedPolicy
) -> EvaluationTables:
    """Judge responders, base, SFT and PPO by gold where there is gold; score the reward model on pairs."""
    files = [resolve_file("evaluation.preference_files", file) for file in config.evaluation.preference_files]
    preferences = [
        score_preference_file(file, config.evaluation.preference_rows, feedback.reward.checkpoint, config.engine)
        for file in files
    ]
    if config.world is None or given.world is None:
        return EvaluationTables(preferences=preferences)
    responses = judge_responses_by_gold(feedback.responses, config.world, config.seeds.world)
    pairs = score_gold_pairs(
        feedback.reward.checkpoint, feedback.reward.scores, feedback.responses, responses, config.engine
    )
    subjects = {
        "base": given.models["policy"],
        "sft": as_model("sft", policy.sft.checkpoint),
        "ppo": as_model("ppo", policy.ppo.checkpoint),
    }
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
    return EvaluationTables(responses, pairs, models, preferences)
