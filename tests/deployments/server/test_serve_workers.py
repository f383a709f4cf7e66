"""Workers of `almost serve`: one job at a time on all GPUs, or one per group of GPUs."""

import pytest

from data_contracts.errors import ConfigError
from deployments.server.serve_workers import GPU_POOL, plan_workers, visible_gpus


def test_one_gpu_worker_that_sees_what_the_machine_has():
    cpu, gpu = plan_workers(None, ["0", "1"])
    assert (cpu.pool, gpu.pool) == ("almost-cpu", "almost-gpu")
    assert gpu.environment() == {}
    assert "--limit" not in gpu.arguments()


@pytest.mark.parametrize(("each", "groups"), [(1, ["0", "1", "2", "3"]), (2, ["0,1", "2,3"]), (4, ["0,1,2,3"])])
def test_a_worker_per_group_of_gpus(each: int, groups: list[str]):
    workers = [worker for worker in plan_workers(each, ["0", "1", "2", "3"]) if worker.pool == GPU_POOL]
    assert [worker.environment()["CUDA_VISIBLE_DEVICES"] for worker in workers] == groups
    assert len({worker.name for worker in workers}) == len(groups)
    assert all(worker.arguments()[-2:] == ["--limit", "1"] for worker in workers)


@pytest.mark.parametrize(("each", "gpus"), [(3, 4), (1, 0), (8, 4)])
def test_groups_that_do_not_fit_are_the_users_error(each: int, gpus: int):
    with pytest.raises(ConfigError, match=f"--gpus-per-job {each} does not divide the {gpus} GPUs"):
        plan_workers(each, [str(number) for number in range(gpus)])


def test_gpus_are_those_the_environment_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
