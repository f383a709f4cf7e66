"""The whole chain under a real Prefect: what it leaves, what a second run redoes, and how a damaged store heals."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.folder_contracts import LastPolicyCheckpoint, PolicyCheckpoint, RewardCheckpoint, VanillaCheckpoint
from data_contracts.rows.row import CONTRACT_METADATA, Row
from tasks.reporting.metric_titles import metric_of
from tests.data_contracts.tables.all_contracts import all_contracts
from tests.flows.command import Command, digests, outputs_of, step_of, summary_of

pytestmark = pytest.mark.flow

PAPER_TABLES = {
    "queries@1",
    "rejected_queries@1",
    "responses@1",
    "comparisons@1",
    "reward_scores@1",
    "demonstrations@1",
    "rollouts@1",
    "training_log@1",
    "evaluations@2",
    "question_set@1",
    "answers@1",
    "verdicts@1",
}


def known_contracts() -> dict[str, type[Row]]:
    return {contract.contract_id(): contract for contract in all_contracts()}


def checkpoints(home: Path) -> list[Path]:
    contracts = (VanillaCheckpoint, RewardCheckpoint, PolicyCheckpoint, LastPolicyCheckpoint)
    return sorted(
        path.parent for contract in contracts for path in home.glob(f"{contract.contract_id()}/*/files-*/config.json")
    )


def test_summary_tells_what_happened(finished: Path):
    summary = summary_of(finished)
    assert (summary["status"], summary["profile"], summary["home"]) == ("finished", "mini", str(finished))
    assert summary["metrics"]["queries.kept"] == 24
    assert summary["orchestration_s"] < summary["wall_s"]
    steps = {step["label"]: step for step in summary["steps"]}
    assert steps["sample_responses-A"]["rows"] == 24
    assert steps["rank_comparisons"]["rows"] == 24 * 3
    tables = {path.split("@")[0]: rows for path, rows in steps["optimize_policy"]["artifacts"].items()}
    assert tables["rollouts"] == 2 * 8
    report = (finished / "runs" / "latest" / "report.html").read_text()
    assert all(part in report for part in ("<td>queries</td>", "Training: optimize_policy", "The reward model prefers"))


def test_a_person_reads_every_metric_by_a_title_of_words(finished: Path):
    metrics = summary_of(finished)["metrics"]
    parts = (".low", ".high", ".n")
    assert not [name for name in metrics if not name.endswith(parts) and metric_of(name) is None]
    dotted = [name for name in metrics if "." in name]
    for page in (finished / "runs" / "latest").rglob("*"):
        if page.suffix in (".html", ".md"):
            assert not [name for name in dotted if name in page.read_text().split("Configuration")[0]], page


def test_what_others_may_use_has_a_card_that_names_its_files(finished: Path):
    run = finished / "runs" / "latest"
    cards = {path.stem: path.read_text() for path in (run / "cards").glob("*.md")}
    assert set(cards) == {"reward-model", "sft-model", "ppo-model", "comparisons", "demonstrations"}
    weights = {Path(found.group(1)) for text in cards.values() if (found := re.search(r"Weights: `([^`]+)`", text))}
    assert weights <= set(checkpoints(finished))
    assert len(weights) == 3
    rows = [re.search(r"Rows: `([^`]+)/part-\*", cards[name]) for name in ("comparisons", "demonstrations")]
    assert all(found and list(Path(found.group(1)).glob("part-*.parquet")) for found in rows)
    assert all(f'href="cards/{name}.md"' in (run / "report.html").read_text() for name in cards)


def test_every_table_opens_with_plain_pyarrow_and_obeys_its_contract(finished: Path):
    contracts = known_contracts()
    seen = set()
    for path in finished.glob("*@*/*/part-*.parquet"):
        contract_id = path.parent.parent.name
        table = pq.read_table(path)
        assert table.schema.metadata[CONTRACT_METADATA].decode() == contract_id
        contracts[contract_id].check(table.replace_schema_metadata(None))
        seen.add(contract_id)
    assert seen >= PAPER_TABLES


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_checkpoint_loads_with_plain_transformers(finished: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    found = {"score": 0, "generate": 0}
    for folder in checkpoints(finished):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        inputs = tokenizer("Human: Who is it?\n\nAssistant:", return_tensors="pt", return_token_type_ids=False)
        if "SequenceClassification" in json.loads((folder / "config.json").read_text())["architectures"][0]:
            model = AutoModelForSequenceClassification.from_pretrained(folder)
            with torch.no_grad():
                assert torch.isfinite(model(**inputs).logits).all()
            found["score"] += 1
        else:
            model: Any = AutoModelForCausalLM.from_pretrained(folder)
            made = model.generate(**inputs, max_new_tokens=4, do_sample=False)
            assert made.shape[1] > inputs["input_ids"].shape[1]
            found["generate"] += 1
    assert found == {"score": 2, "generate": 6}  # as-is and synthetic RM; the ladder, SFT, PPO as chosen and at its end


def test_identical_run_elsewhere_with_relative_home_finds_everything(
    almost: Command, copied: Callable[[], Path], tmp_path: Path
):
    home = copied()
    before = digests(home)
    done = almost.mini("home", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "32 steps, 32 cached" in done.stdout
    assert digests(home) == before
    assert summary_of(home)["home"] == str(home)
    assert not list((home / "scratch" / "jobs").glob("*"))


def test_until_and_from_limit_a_run(almost: Command, copied: Callable[[], Path]):
    home = copied()
    done = almost.mini(home, "--until", "sft", "--from", "sft")
    assert done.returncode == 0, done.stdout
    summary = summary_of(home)
    assert (summary["status"], summary["message"]) == ("stopped", "after sft")
    assert summary["steps"][-1]["label"] == "finetune_policy"


def test_ones_own_queries_take_the_place_of_mined_ones(almost: Command, copied: Callable[[], Path], tmp_path: Path):
    home, own = copied(), tmp_path / "my queries.txt"
    own.write_text("How do I make tea?\nTell me a story.\nHow do I make tea?\n")
    done = almost.mini(home, "--use", f"queries={own}", "--until", "comparisons")
    assert done.returncode == 0, done.stdout
    assert "load_queries: 2 queries, 1 rejected queries" in done.stdout
    assert not any(step["step"] == "mine_queries" for step in summary_of(home)["steps"])
    asked = [
        set(pq.read_table(sorted(f.glob("part-*")))["query"].to_pylist()) for f in outputs_of(home, "rank_comparisons")
    ]
    assert {"How do I make tea?", "Tell me a story."} in asked


def test_the_policy_may_learn_from_the_comparisons_instead(almost: Command, copied: Callable[[], Path]):
    home = copied()
    settings = ("--set", "policy.algorithm=dpo", "--set", "policy.learning_rate=1e-3", "--set", "policy.batch_size=8")
    done = almost.mini(home, *settings, "--until", "policy")
    assert done.returncode == 0, done.stdout
    computed = [step for step in summary_of(home)["steps"] if not step["cached"]]
    assert [step["label"] for step in computed] == ["optimize_by_preferences-dpo"]
    assert any(path.startswith("policy@") for path in computed[0]["artifacts"])


def test_from_refuses_when_an_earlier_step_is_missing(almost: Command, copied: Callable[[], Path]):
    home = copied()
    for folder in outputs_of(home, "self_play"):
        shutil.rmtree(folder)
    before = digests(home)
    done = almost.mini(home, "--from", "policy")
    assert done.returncode == 2, done.stdout
    assert "almost: --from policy: the outputs of self_play are not in the store" in done.stdout
    assert digests(home) == before


def test_damaged_part_is_rebuilt_and_says_so(almost: Command, copied: Callable[[], Path]):
    home = copied()
    before = digests(home)
    [folder] = outputs_of(home, "filter_comparisons")
    [part] = folder.glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-1])
    done = almost.mini(home, "--until", "comparisons")
    assert done.returncode == 0, done.stdout
    assert "missing or altered; the artifact will be rebuilt" in done.stdout
    assert "has been rebuilt with the same bytes" in done.stdout
    assert digests(home) == before
    assert not step_of(home, "filter_comparisons")["cached"]
    assert sum(not step["cached"] for step in summary_of(home)["steps"]) == 1
