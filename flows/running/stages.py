"""The heavy stages: each can run inline or on a GPU pool, and has a deployment of its own in prefect.yaml."""

from data_contracts.config.pretraining import PretrainingConfig
from data_contracts.config.training import TrainingSettings
from flows.running.run_stage import Stage
from tasks.evaluation.evaluate_benchmark import evaluate_benchmark, reward_benchmark
from tasks.evaluation.evaluate_by_judge import answer_questions, judge_pairs
from tasks.evaluation.score_topics import score_topics
from tasks.feedback.judge_by_as_is import judge_by_as_is
from tasks.feedback.mine_queries import mine_queries
from tasks.feedback.sample_responses import sample_responses
from tasks.policy.finetune_policy import finetune_policy
from tasks.policy.optimize_by_preferences import optimize_by_preferences
from tasks.policy.optimize_policy import optimize_policy
from tasks.policy.self_play import self_play
from tasks.reward.train_reward_model import train_as_is_reward_model, train_reward_model
from tasks.tiny_world.build_tiny_world import TinyWorld
from tasks.tiny_world.pretrain_model import PretrainedModel, pretrain_model


def pretrain_ladder(
    world: TinyWorld, pretraining: PretrainingConfig, training: TrainingSettings, seed: int
) -> dict[str, PretrainedModel]:
    """Pre-train the tiny ladder, its sizes beside each other."""
    shared = pretraining.model_copy(update={"sizes": {}})
    running = {
        name: pretrain_model.submit(name, world.documents, world.tokenizer, size, shared, training, seed)
        for name, size in reversed(pretraining.sizes.items())  # the largest first: it takes longest
    }
    return {name: running[name].result() for name in pretraining.sizes}


PRETRAIN_LADDER = Stage(pretrain_ladder)
MINE_QUERIES = Stage(mine_queries)
SAMPLE_RESPONSES = Stage(sample_responses)
TRAIN_AS_IS_REWARD_MODEL = Stage(train_as_is_reward_model)
JUDGE_BY_AS_IS = Stage(judge_by_as_is)
TRAIN_REWARD_MODEL = Stage(train_reward_model)
SELF_PLAY = Stage(self_play)
FINETUNE_POLICY = Stage(finetune_policy)
OPTIMIZE_POLICY = Stage(optimize_policy)
OPTIMIZE_BY_PREFERENCES = Stage(optimize_by_preferences)
EVALUATE_BENCHMARK = Stage(evaluate_benchmark)
REWARD_BENCHMARK = Stage(reward_benchmark)
ANSWER_QUESTIONS = Stage(answer_questions)
JUDGE_PAIRS = Stage(judge_pairs)
SCORE_TOPICS = Stage(score_topics)

# Entrypoints of the deployments.
pretrain_ladder_flow = PRETRAIN_LADDER.as_flow()
mine_queries_flow = MINE_QUERIES.as_flow()
sample_responses_flow = SAMPLE_RESPONSES.as_flow()
train_as_is_reward_model_flow = TRAIN_AS_IS_REWARD_MODEL.as_flow()
judge_by_as_is_flow = JUDGE_BY_AS_IS.as_flow()
train_reward_model_flow = TRAIN_REWARD_MODEL.as_flow()
self_play_flow = SELF_PLAY.as_flow()
finetune_policy_flow = FINETUNE_POLICY.as_flow()
optimize_policy_flow = OPTIMIZE_POLICY.as_flow()
optimize_by_preferences_flow = OPTIMIZE_BY_PREFERENCES.as_flow()
evaluate_benchmark_flow = EVALUATE_BENCHMARK.as_flow()
reward_benchmark_flow = REWARD_BENCHMARK.as_flow()
answer_questions_flow = ANSWER_QUESTIONS.as_flow()
judge_pairs_flow = JUDGE_PAIRS.as_flow()
score_topics_flow = SCORE_TOPICS.as_flow()
