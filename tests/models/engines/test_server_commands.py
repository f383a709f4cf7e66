"""Command lines of servers: what the profile and the placement table say must reach the program."""

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.placement import ModelPlacement
from data_contracts.errors import ConfigError
from models.engines.server_commands import VLLM, server_command, visible_devices

MODEL = Path("/models/llama")


def options(command: list[str]) -> dict[str, str]:
    return dict(pairwise(command))


def test_vllm_gets_its_switches_and_the_profiles_arguments_last() -> None:
    config = EngineConfig(
        kind=EngineKind.VLLM,
        dtype="bfloat16",
        server_arguments=("--gpu-memory-utilization", "0.8", "--name", "{model}"),
    )
    command = server_command(config, MODEL, ModelPlacement(gpus=(0, 1, 2, 3), tensor_parallel=2), 8123)
    assert command is not None
    assert command[:3] == [str(VLLM), "serve", "/models/llama"]
    said = options(command)
    assert "--enable-prefix-caching" in command
    assert (said["--port"], said["--dtype"], said["--generation-config"]) == ("8123", "bfloat16", "vllm")
    assert (said["--tensor-parallel-size"], said["--data-parallel-size"]) == ("2", "2")
    assert command[-4:] == ["--gpu-memory-utilization", "0.8", "--name", "/models/llama"]


def test_another_server_is_told_model_and_port() -> None:
    arguments = ("serve", "{model}", "--port", "{port}", "--override", '{"a": 1}')
    config = EngineConfig(kind=EngineKind.OPENAI, server_executable="transformers", server_arguments=arguments)
    assert server_command(config, MODEL, ModelPlacement(), 8123) == [
        "transformers", "serve", "/models/llama", "--port", "8123", "--override", '{"a": 1}',
    ]  # fmt: skip
    running = EngineConfig(kind=EngineKind.OPENAI, base_url="http://127.0.0.1:1/v1")
    assert server_command(running, MODEL, ModelPlacement(), 8123) is None


@pytest.mark.parametrize(
    ("gpus", "tensor_parallel", "copy_gpus", "copies"),
    [((), None, 1, 1), ((3,), None, 1, 1), ((0, 1, 2, 3), None, 4, 1), ((4, 5, 6, 7), 1, 1, 4), ((), 2, 2, 1)],
    ids=["nothing said", "one", "all for one copy", "a copy each", "no devices named"],
)
def test_copies_and_their_gpus(gpus: tuple[int, ...], tensor_parallel: int | None, copy_gpus: int, copies: int) -> None:
    placed = ModelPlacement(gpus=gpus, tensor_parallel=tensor_parallel)
    assert (placed.copy_gpus, placed.copies) == (copy_gpus, copies)


@pytest.mark.parametrize(
    "wrong", [{"gpus": [0, 0]}, {"gpus": [-1]}, {"gpus": [0, 1, 2], "tensor_parallel": 2}], ids=str
)
def test_a_placement_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=r"name each device once|does not divide"):
        ModelPlacement.model_validate(wrong)


def test_devices_count_among_the_visible_ones() -> None:
    assert visible_devices([], None) is None
    assert visible_devices([], "4,5") == "4,5"
    assert visible_devices([1, 0], None) == "1,0"
    assert visible_devices([1], "4,GPU-abc") == "GPU-abc"
    with pytest.raises(ConfigError, match=r"names GPU 2, but CUDA_VISIBLE_DEVICES shows 2 \('4,5'\)"):
        visible_devices([2], "4,5")
