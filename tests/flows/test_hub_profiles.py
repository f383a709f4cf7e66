"""Profile `laptop` as a person starts it: models and benchmarks by name, from a server that speaks the Hub's protocol.

The names' weights here are a 260k-parameter Llama's, with more positions than it was trained for: its texts mean nothing.
"""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config.profiles import load_profile
from tests.flows.command import Command, outputs_of
from tests.hub_server import COMMIT, serve_hub

DATA = Path(os.environ.get("ALMOST_DATA", "../shared/data"))
WEIGHTS = DATA / "weights" / "stories260K"

pytestmark = [
    pytest.mark.flow,
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no data at {DATA} (ALMOST_DATA)"),
]


def publish_models(root: Path) -> None:
    """Every model that the profile names, with room for its longest prompts."""
    for name in set(load_profile("laptop").models.named().values()):
        folder = root / "models" / name
        shutil.copytree(WEIGHTS, folder, copy_function=shutil.copyfile)
        for file, change in (
            ("config.json", {"max_position_embeddings": 8192}),
            ("tokenizer_config.json", {"model_max_length": 8192}),
        ):
            (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))


def publish_datasets(root: Path) -> None:
    """A few rows of the data sets that the profile names, in the Hub's columns."""
    pair = {"input": "\n\nHuman: Is tea good?", "targets": {"choices": [" Yes.", " No."], "labels": [1, 0]}}
    for split in ("helpful", "harmless", "honest", "other"):
        write(root / "HuggingFaceH4/hhh_alignment" / split / "test" / "0000.parquet", [pair])
    truth = {"question": "Is tea blue?", "mc1_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]}}
    folder = root / "truthfulqa" / "truthful_qa"
    write(folder / "multiple_choice" / "validation-00000-of-00001.parquet", [truth])
    files = "{split: validation, path: multiple_choice/validation-*}"
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: multiple_choice\n  data_files:\n  - {files}\n---\n"
    )
    turns = {side: f"\n\nHuman: How are you today?\n\nAssistant: A {side} answer." for side in ("chosen", "rejected")}
    (root / "Anthropic" / "hh-rlhf" / "helpful-base").mkdir(parents=True)
    (root / "Anthropic" / "hh-rlhf" / "helpful-base" / "test.jsonl").write_text(json.dumps(turns) + "\n")


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_laptop_makes_comparisons_of_models_by_name(almost: Command, tmp_path: Path) -> None:
    home, hub = tmp_path / "home", tmp_path / "hub"
    publish_models(hub)
    publish_datasets(hub / "datasets")
    settings = ("mining.queries=6", "mining.max_new_tokens=24", "sampling.max_new_tokens=12")
    changes = [word for setting in settings for word in ("--set", setting)]
    with serve_hub(hub) as server:
        environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "hf")}
        environment["NO_PROXY"] = "127.0.0.1"
        done = almost.run(
            "run", "--profile", "laptop", "--until", "comparisons", "--home", str(home), *changes,
            environment=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        weights = [path for method, path in server.asked if method == "GET" and path.endswith("model.safetensors")]
        assert len(weights) == 3, "one download a model, whatever the number of roles"
    answers = [row for folder in outputs_of(home, "sample_responses") for row in rows_of(folder)]
    assert len(answers) == 5 * 6
    named = {responder.name: responder.model for responder in load_profile("laptop").responders}
    sources = load_profile("laptop").models.named()
    assert {row["responder"]: row["model"] for row in answers} == {
        name: f"{sources[role]}@{COMMIT}" for name, role in named.items()
    }
    (ranked,) = outputs_of(home, "rank_comparisons")
    assert len(rows_of(ranked)) == 6 * 10
    (gathered,) = outputs_of(home, "gather_evaluation_texts")
    assert sorted(row["text"] for row in rows_of(gathered)) == [
        "A chosen answer.", "A rejected answer.", "How are you today?", "Is tea blue?", *["Is tea good?"] * 4,
    ], "what the Hub's benchmarks ask is kept out of the queries"  # fmt: skip


def rows_of(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(sorted(folder.glob("part-*.parquet"))).to_pylist()
