"""Steps that start a model server of their own, `transformers serve`, ask it, and end it, within a real run."""

import json
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from transformers import GenerationConfig
from transformers.utils.import_utils import is_serve_available

from tests.flows.command import Command, outputs_of, step_of, summary_of
from tests.tasks.conftest import CONVERSATIONS, random_model

pytestmark = [
    pytest.mark.flow,
    pytest.mark.skipif(not is_serve_available(), reason="`transformers serve` needs the extra 'serving'"),
]
SEEDS = ("What pet does Mira have?", "Who is Tovik?", "Where is Rome?", "How do I plant beans?")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile of one random model in all roles, behind `transformers serve`."""
    model = random_model(tmp_path / "served", eagerness=1.5)
    assert model.folder is not None
    GenerationConfig(do_sample=True, eos_token_id=1).save_pretrained(model.folder)
    for name, text in {"seeds": "\n".join(SEEDS), "prompts": CONVERSATIONS}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    prompts = str(tmp_path / "prompts.txt")
    shots = [{"name": name, "model": "large", "prompt": "hhh", "shots": n} for name, n in (("A", 1), ("B", 0))]
    arguments = ["serve", "{model}", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"]
    content = {
        "models": dict.fromkeys(("small", "mid", "large", "reward", "policy"), model.folder),
        "prompts": {"seed_queries": str(tmp_path / "seeds.txt"), "hhh": prompts, "faithful": prompts, "user": prompts},
        "mining": {"queries": 3, "static_shots": 2, "dynamic_shots": 1, "max_new_tokens": 12, "round_prompts": 8},
        "responders": shots,
        "sampling": {"max_new_tokens": 12, "shard_rows": 2},
        "as_is": {"enabled": False},
        "self_play": {"assistant_shots": 1, "user_shots": 1, "max_new_tokens": 12, "user_max_new_tokens": 12},
        "policy": {"rollouts": 8, "minibatch_size": 8, "max_new_tokens": 12, "max_prompt_tokens": 64},
        "engine": {
            "kind": "openai",
            "server_executable": str(Path(sys.executable).with_name("transformers")),
            "server_arguments": arguments,
            "server_start_s": 300,
        },
    }
    path = tmp_path / "served.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_queries_and_responses_come_from_servers_that_end_with_their_steps(
    almost: Command, profile: Path, tmp_path: Path
):
    home = tmp_path / "home"
    run = ("run", "--profile", str(profile), "--home", str(home), "--until", "responses")
    done = almost.run(*run)
    assert done.returncode == 0, done.stdout
    assert {step["label"] for step in summary_of(home)["steps"]} >= {"mine_queries", "sample_responses-B"}
    counters = step_of(home, "sample_responses-A")["counters"]
    assert counters["generated_tokens"] > 0
    assert 0 < counters["unique_prompt_tokens"] < counters["prompt_tokens"]
    assert "computed_prompt_tokens" not in counters, "the server does not say what it computed"
    manifest = json.loads((outputs_of(home, "mine_queries")[0] / "manifest.json").read_text())
    assert manifest["provenance"]["config"]["engine"]["kind"] == "openai"
    assert not any(
        "serve" in process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if _ours(process, tmp_path)
    )
    again = almost.run(*run)
    assert "5 steps, 5 cached" in again.stdout, again.stdout


def _ours(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or ())
