"""`almost serve` and deployed runs, with a real server and real workers, whatever is killed meanwhile.

One server for all: each test removes the outputs of the step it disturbs, and asks that they come back the same.
"""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.command import Command, digests, outputs_of, step_of, summary_of, until
from tests.flows.serving import START_LIMIT_S, STOP_LIMIT_S, Serving, kill

pytestmark = [pytest.mark.flow, pytest.mark.slow]

CANCEL_LIMIT_S = 15
REWARD_JOB, SFT_JOB = "models.jobs.train_reward_model", "models.jobs.finetune_policy"


@pytest.fixture(scope="module")
def serving(almost: Command, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serving")
    serving = Serving(almost, Path(shutil.copytree(finished, folder / "home", symlinks=True)), folder)
    serving.start()
    yield serving
    if serving.process is not None and serving.process.poll() is None:
        serving.end()
    serving.api.close()


def remove_outputs(home: Path, step: str) -> None:
    for folder in outputs_of(home, step):
        shutil.rmtree(folder)


def test_job_worker_and_orchestrator_are_killed_while_two_identical_runs_go_on(serving: Serving, finished: Path):
    remove_outputs(serving.home, "train_reward_model")
    earlier = len(serving.children("train-reward-model"))
    first, second = (serving.submit(stop_after="reward_model") for _ in range(2))
    until(lambda: serving.jobs(REWARD_JOB), START_LIMIT_S, "the job", 0.05)
    kill(serving.processes("worker", "start", "almost-gpu"))
    kill(serving.process_of(first))
    kill(serving.jobs(REWARD_JOB))
    assert serving.ended(first) == "CRASHED"
    assert serving.ended(second) == "COMPLETED"
    assert [child["state_type"] for child in serving.children("train-reward-model")[earlier:]] == ["COMPLETED"]
    assert digests(serving.home) == digests(finished)
    assert "worker-almost-gpu ended with exit code -9; starting it again" in serving.log.read_text()


def test_cancelling_ends_every_process_within_15_seconds(serving: Serving, finished: Path):
    remove_outputs(serving.home, "finetune_policy")
    run = serving.submit(stop_after="sft")
    until(lambda: serving.jobs(SFT_JOB), START_LIMIT_S, "the job", 0.05)
    [child] = [run for run in serving.children("finetune-policy") if run["state_type"] == "RUNNING"]
    asked = time.monotonic()
    body = {"state": {"type": "CANCELLING", "message": "by hand"}, "force": True}
    serving.api.post(f"/flow_runs/{run}/set_state", json=body).raise_for_status()
    until(lambda: not serving.jobs(SFT_JOB), STOP_LIMIT_S, "the job to end", 0.05)
    until(lambda: not serving.process_of(run) and not serving.process_of(child["id"]), STOP_LIMIT_S, "the flows to end")
    assert time.monotonic() - asked < CANCEL_LIMIT_S
    assert (serving.ended(run), serving.ended(child["id"])) == ("CANCELLED", "CANCELLED")


def test_kill_of_serve_leaves_nothing_and_a_new_one_starts(serving: Serving):
    remove_outputs(serving.home, "finetune_policy")
    run = serving.submit(stop_after="sft")
    until(lambda: serving.jobs(SFT_JOB), START_LIMIT_S, "the job", 0.05)
    assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not serving.processes(), STOP_LIMIT_S, "everything to end", 0.2)
    serving.start()
    assert serving.state(run) == "CRASHED"


def test_a_run_waits_for_approval_without_a_process_and_then_goes_on_or_ends(serving: Serving, finished: Path):
    remove_outputs(serving.home, "finetune_policy")
    approved, refused = both = [serving.submit(stop_after="sft", approval=True) for _ in range(2)]
    until(lambda: {serving.state(run) for run in both} == {"PAUSED"}, START_LIMIT_S, "the question", 0.2)
    until(lambda: not any(serving.process_of(run) for run in both), STOP_LIMIT_S, "the processes to end")
    [bill] = [text for key, text in serving.markdown(approved).items() if key.startswith("almost-approval")]
    assert "| self_play | in the store | | |" in bill
    assert "| The reward model prefers the answer that is assumed better, held-out comparisons |" in bill
    serving.api.post(f"/flow_runs/{refused}/set_state", json={"state": {"type": "CANCELLING"}}).raise_for_status()
    serving.api.post(f"/flow_runs/{approved}/resume", json={}).raise_for_status()
    assert (serving.ended(approved), serving.ended(refused)) == ("COMPLETED", "CANCELLED")
    assert digests(serving.home) == digests(finished)
    assert summary_of(serving.home)["config"]["placement"]["heavy"] == "pool"
    assert step_of(serving.home, "pretrain_model-large")["cached"]
    assert not step_of(serving.home, "finetune_policy")["cached"]
    edges = serving.graph(approved)
    assert edges["finetune-policy / almost-mini"] == {"self-play / almost-mini", "pretrain-model / almost-mini-small"}
    assert edges["judge-by-as-is / almost-mini"] == {"filter_comparisons", "train-as-is-reward-model / almost-mini"}


def test_a_sharded_job_on_the_pool_runs_as_it_was_asked_to(serving: Serving):
    zero = ["training.zero_stage=2", "training.processes=2"]
    sharded = serving.submit(stop_after="reward_model", overrides=zero)
    assert serving.ended(sharded) == "COMPLETED"
    trained = step_of(serving.home, "train_reward_model")
    assert not trained["cached"]
    assert (trained["counters"]["job_zero_stage"], trained["counters"]["job_processes"]) == (2, 2)


def test_interrupt_ends_all_and_so_does_the_servers_death(serving: Serving):
    assert serving.end(signal.SIGINT) == 0
    assert serving.processes() == []
    serving.start()
    kill(serving.processes("server", "start"))
    assert serving.process is not None
    assert serving.process.wait(STOP_LIMIT_S) == 1
    assert "; stopping the rest" in serving.log.read_text()
    assert serving.processes() == []
