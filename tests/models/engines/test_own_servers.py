"""`transformers serve`, a real server, started, asked and ended as a stage does it."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.import_utils import is_serve_available

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.placement import ModelPlacement
from data_contracts.errors import EngineError, TransientEngineError
from models.engines import opened_engine
from models.engines.openai_engine import OpenAIEngine
from models.engines.protocol import SamplingSettings
from models.engines.transformers_engine import TransformersEngine
from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder

GREEDY = SamplingSettings(10, temperature=0)
PROMPTS = ["Human: What grows in the garden?", "Human: Who sings?"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_serve_available(), reason="`transformers serve` needs the extra 'serving'"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model(num_key_value_heads=2)
    model.generation_config.do_sample = True
    return save_folder(tmp_path_factory.mktemp("served"), model, make_tokenizer())


def served_by_transformers() -> EngineConfig:
    arguments = ("serve", "{model}", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu")
    return EngineConfig(
        kind=EngineKind.OPENAI,
        server_executable=str(Path(sys.executable).with_name("transformers")),
        server_arguments=arguments,
        server_start_s=120,
        request_retries=1,
    )


def test_a_stage_starts_asks_and_ends_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    opened: Any = opened_engine(served_by_transformers(), folder, ModelPlacement(), tmp_path / "log")
    with opened as engine:
        assert isinstance(engine, OpenAIEngine)
        assert engine.abilities.samples
        assert not engine.abilities.logprobs
        assert not engine.abilities.prompt_logprobs
        with pytest.raises(EngineError, match="cannot score options"):
            engine.score_options("Human:", [" basil"])
        far = engine.generate("", PROMPTS, [1, 2], GREEDY)
        near = TransformersEngine(folder).generate("", PROMPTS, [1, 2], GREEDY)
        assert [row.token_count for row in far] == [row.token_count for row in near]
        assert [row.prompt_tokens for row in far] == [row.prompt_tokens for row in near]
        [group] = {os.getpgid(pid) for pid in serving(folder)}
        os.killpg(group, signal.SIGKILL)
        with pytest.raises(TransientEngineError, match=r"the model server ended with code(.|\n)*last lines"):
            engine.generate("", PROMPTS, [1, 2], GREEDY)
    assert not serving(folder)  # its port may be another process's by now


def serving(folder: Path) -> list[int]:
    """Processes that serve a folder."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _serves(pid, folder)]


def _serves(pid: str, folder: Path) -> bool:
    try:
        return f"\0serve\0{folder}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
