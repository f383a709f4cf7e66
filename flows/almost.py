"""ALMoST, top to bottom: synthetic feedback -> reward model -> demonstrations -> SFT -> PPO -> evaluation."""

import os

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.evaluate_run import evaluate_run
from flows.ingredients import prepare_ingredients
from flows.metrics import feedback_metrics, record_run_metrics
from flows.running.approval import POLICY_TRAINING, SYNTHETIC_FEEDBACK, await_approval
from flows.running.open_run import open_run
from flows.running.parameters import (
    Approval,
    DataSeed,
    Home,
    Ladder,
    ModelSources,
    Overrides,
    PolicyAlgorithm,
    ProfileName,
    PromptSets,
    PromptSources,
    QueryCount,
    StartFrom,
    StopAfter,
    configure,
    run_name,
)
from flows.running.prompt_ending import ending_promptly
from flows.synthetic_feedback import synthetic_feedback
from flows.train_policy import train_policy
from tasks.runtime.context import current


@flow(
    name="almost",
    description="Aligning language models through synthetic feedback (ALMoST, arXiv 2305.13735).",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=os.cpu_count() or 2),  # type: ignore[arg-type]
)
def almost(
    profile: ProfileName = "tiny",
    data_seed: DataSeed = None,
    queries: QueryCount = None,
    models: Ladder = ModelSources(),  # noqa: B008 - frozen
    prompts: PromptSets = PromptSources(),  # noqa: B008
    algorithm: PolicyAlgorithm = None,
    approval: Approval = None,
    stop_after: StopAfter = None,
    start_from: StartFrom = None,
    overrides: Overrides = (),
    home: Home = None,
) -> str:
    """Run a profile and return the run's id; its tables, checkpoints and summary.json are in the store."""
    config = current().checked_config
    if config is None:  # from the form or a schedule, not from the command line
        config = configure(
            profile,
            data_seed=data_seed,
            queries=queries,
            models=models,
            prompts=prompts,
            algorithm=algorithm,
            approval=approval,
            overrides=overrides,
        )
    with ending_promptly(), open_run(config, home, stop_after, start_from) as run:
        await_approval(config, SYNTHETIC_FEEDBACK, lambda here: synthetic_feedback(here, prepare_ingredients(here)))
        given = prepare_ingredients(config)
        feedback = synthetic_feedback(config, given)
        await_approval(
            config,
            POLICY_TRAINING,
            lambda here: train_policy(here, given, feedback),
            lambda: feedback_metrics(feedback),
        )
        policy = train_policy(config, given, feedback)
        evaluations = evaluate_run(config, given, feedback, policy)
        record_run_metrics(run.record, feedback, policy, evaluations)
    return run.run_id
