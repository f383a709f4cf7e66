"""From the profile's engine section to an engine, and what is refused before a run begins."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.placement import ModelPlacement
from data_contracts.errors import ConfigError
from data_contracts.store.keys import step_key
from models.engines import check_engine, open_engine
from models.engines.protocol import SamplingSettings

LADDER = {"small": "/models/7b", "large": "/models/30b"}
HERE = "http://127.0.0.1:8000/v1"


def test_the_section_reaches_the_engine(llama_folder: Path) -> None:
    engine = open_engine(EngineConfig(batch_size=3, device="cpu"), llama_folder)
    assert engine.context_length == 192
    assert engine.generate("", ["Human:"], [1], SamplingSettings(2))[0].token_count in (1, 2)
    assert engine.counters.rows == 1


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no address": ({"kind": "openai"}, {}, r"needs engine\.base_url.* no address is set for large, small"),
    "one address missing": ({"kind": "openai"}, {"large": {"base_url": HERE}}, "no address is set for small"),
    "two servers": (
        {"kind": "openai", "base_url": HERE, "server_executable": "true"}, {}, "starts servers of its own, but an address",
    ),
    "vllm with an address": ({"kind": "vllm", "base_url": HERE}, {}, "starts servers of its own"),
    "one name for two models": (
        {"kind": "openai", "base_url": HERE, "served_model": "llama"}, {}, "served_model names one model for large, small",
    ),
    "vllm is not there": (
        {"kind": "vllm", "server_executable": "/nowhere/vllm"}, {}, r"server_executable: /nowhere/vllm does not exist",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_work_is_refused_before_a_run(wrong: str) -> None:
    section, placed, message = WRONG[wrong]
    places: Any = {role: ModelPlacement.model_validate(place) for role, place in placed.items()}
    with pytest.raises(ConfigError, match=message):
        check_engine(EngineConfig.model_validate(section), LADDER, places, here=True)


def test_what_can_work_passes() -> None:
    each: Any = {"small": ModelPlacement(base_url=HERE), "large": ModelPlacement(base_url=HERE)}
    check_engine(EngineConfig(), LADDER, {}, here=True)
    check_engine(EngineConfig(kind=EngineKind.OPENAI), LADDER, each, here=True)
    check_engine(EngineConfig(kind=EngineKind.OPENAI, base_url=HERE), LADDER, {}, here=True)
    elsewhere = EngineConfig(kind=EngineKind.VLLM, server_executable="/nowhere/vllm")
    check_engine(elsewhere, LADDER, {}, here=False)  # the GPU worker has it


def test_what_a_server_is_asked_is_in_the_key_and_where_it_is_is_not() -> None:
    def key(**changes: Any) -> str:
        return step_key("s", "1", {"engine": EngineConfig(**changes)})

    plain = key()
    assert key(server_arguments=("--x",)) == plain, "no server, so nothing is passed to it"
    assert key(batch_size=7, device="cpu", server_executable="/opt/vllm", failed_share=0.5) == plain
    assert len({plain, key(kind="openai"), key(kind="vllm"), key(dtype="bfloat16")}) == 4
    assert key(kind="openai", base_url=HERE, concurrency=3) == key(kind="openai")
    assert key(kind="vllm", server_arguments=("--quantization", "fp8")) != key(kind="vllm")


def test_importing_the_protocol_does_not_import_torch() -> None:
    code = "import sys, models.engines.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
