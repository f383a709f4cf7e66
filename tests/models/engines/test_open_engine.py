"""From the profile's engine section to an engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.errors import ConfigError
from data_contracts.sections import EngineConfig, EngineKind
from models.engines import open_engine
from models.engines.protocol import SamplingSettings


def test_the_section_reaches_the_engine(llama_folder: Path) -> None:
    engine = open_engine(EngineConfig(batch_size=3, device="cpu"), llama_folder)
    assert engine.context_length == 192
    assert engine.generate("", ["Human:"], [1], SamplingSettings(2))[0].token_count in (1, 2)
    assert engine.counters.rows == 1


def test_vllm_is_reached_over_http(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine.kind 'openai' with its address in engine\.base_url"):
        open_engine(EngineConfig(kind=EngineKind.VLLM), tmp_path)


def test_importing_the_protocol_does_not_import_torch() -> None:
    code = "import sys, models.engines.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
