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


@pytest.mark.parametrize("kind", [EngineKind.VLLM, EngineKind.OPENAI])
def test_kinds_that_do_not_exist_yet_say_so(kind: EngineKind, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"engine.kind '{kind}' is not built yet; use 'transformers'"):
        open_engine(EngineConfig(kind=kind), tmp_path)


def test_importing_the_protocol_does_not_import_torch() -> None:
    code = "import sys, models.engines.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
