"""Models and datasets by Hub name, fetched by the Hub's real client from a server that speaks its protocol."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models import hub
from models.run_bill import folder_parameters
from tests.hub_server import COMMIT, HubServer, serve_hub

ROOT = Path(__file__).resolve().parents[3]
NAME = "someone/little-llama"


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """A model and a dataset as the Hub has them."""
    model = tmp_path / "hub" / "models" / NAME
    model.mkdir(parents=True)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=32, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(config).save_pretrained(model)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (model / file).write_text("{}")
    (model / "pytorch_model.bin").write_bytes(b"pickled")
    pairs = tmp_path / "hub" / "datasets" / "someone" / "pairs" / "data" / "reward"
    pairs.mkdir(parents=True)
    rows = [{"question": f"Q{n}?", "response_j": f"good {n}", "response_k": f"bad {n}"} for n in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), pairs / "train-00000-of-00001.parquet")
    return tmp_path / "hub"


def asked(code: str, home: Path, endpoint: str) -> Any:
    """What a process with the Hub at `endpoint` prints as JSON; the client reads the variable when it is imported."""
    dropped = ("HF_", "HUGGINGFACE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment |= {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def weights_fetched(server: HubServer) -> int:
    return sum(method == "GET" and path.endswith("model.safetensors") for method, path in server.asked)


def test_a_model_is_fetched_once_at_its_commit_and_its_size_is_known_before(repositories: Path, tmp_path: Path):
    look = (
        "import json; from models import hub; from tasks.inputs.resolve_models import resolve_model\n"
        f"size, early = hub.hub_parameters({NAME!r}), hub.cached_folder({NAME!r})\n"
        f"model = resolve_model('models.small', {NAME!r}, {{}}); hub.cached_folder.cache_clear()\n"
        f"print(json.dumps([size, str(early), model.name, model.folder, str(hub.cached_folder({NAME!r}))]))"
    )
    with serve_hub(repositories) as server:
        size, early, name, folder, late = asked(look, tmp_path / "home", server.endpoint)
        assert weights_fetched(server) == 1
        again = asked(look, tmp_path / "home", server.endpoint)
        assert weights_fetched(server) == 1, "found in the cache"
    assert size == folder_parameters(repositories / "models" / NAME)
    assert (early, late) == ("None", folder)
    assert name == f"{NAME}@{COMMIT}"
    assert not (Path(folder) / "pytorch_model.bin").exists(), "pickled weights are not fetched"
    assert again[2:] == [name, folder, folder]


def test_the_beginning_of_a_dataset(repositories: Path, tmp_path: Path):
    source = "hub:someone/pairs?data_dir=data/reward&split=train&rows=4"
    look = (
        "import json; from tasks.inputs.fetch_dataset import fetch_dataset; from tasks.feedback.load_community_answers import _row\n"
        f"path = fetch_dataset('as_is.pairs_file', {source!r})\n"
        "rows = [json.loads(line) for line in path.read_text().splitlines()]\n"
        "print(json.dumps([path.name, [_row(path, n, row).chosen for n, row in enumerate(rows)]]))"
    )
    with serve_hub(repositories) as server:
        name, chosen = asked(look, tmp_path / "home", server.endpoint)
    assert name == f"train-pairs-data_reward-first_4-{COMMIT[:12]}.jsonl"
    assert chosen == [f"good {n}" for n in range(4)]


def test_a_hub_that_is_not_there_is_told_in_one_line(tmp_path: Path):
    look = (
        "import json; from data_contracts.errors import ConfigError; from models import hub\n"
        "from tasks.inputs.fetch_dataset import fetch_dataset; from tasks.inputs.resolve_models import resolve_model\n"
        "told = []\n"
        "for ask in (lambda: resolve_model('models.small', 'a/b', {}), lambda: fetch_dataset('field', 'hub:a/b')):\n"
        "    try: ask()\n"
        "    except ConfigError as error: told.append(str(error))\n"
        "print(json.dumps([hub.hub_parameters('a/b'), *told]))"
    )
    size, model, dataset = asked(look, tmp_path / "home", "http://127.0.0.1:9")  # the discard port: nobody listens
    assert size is None
    assert model.startswith("models.small: 'a/b' is no local folder and cannot be fetched from the Hub: ")
    assert dataset.startswith("field: dataset 'hub:a/b' cannot be fetched: ")
    assert "\n" not in model + dataset


def test_a_name_the_hub_does_not_have(repositories: Path, tmp_path: Path):
    look = "import json; from models import hub; print(json.dumps([hub.hub_parameters('a/b'), hub.HUB_TIMEOUT_S]))"
    with serve_hub(repositories) as server:
        assert asked(look, tmp_path / "home", server.endpoint) == [None, hub.HUB_TIMEOUT_S]
