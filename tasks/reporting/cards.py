"""Cards of everything that a run made for others to use: `runs/RUN/cards/NAME.md`."""

from collections import Counter
from collections.abc import Iterator

from data_contracts.store.artifact_store import Store
from tasks.reporting.dataset_card import COMPARISONS, DEMONSTRATIONS, dataset_card
from tasks.reporting.funnel import funnel
from tasks.reporting.model_card import REWARD, SFT, ModelKind, model_card, policy_kind
from tasks.reporting.run_summary import RUNS, RunSummary
from tasks.reporting.run_tables import RunTables
from tasks.runtime.run_record import StepRecord

CARDS = "cards"


def write_cards(store: Store, summary: RunSummary, tables: RunTables) -> list[str]:
    """Write a card for each model and data set of the run; their paths in the store. A second of a kind is NAME-2."""
    paths: list[str] = []
    seen = Counter[str]()
    for name, text in (*_models(summary, tables), *_datasets(summary, tables)):
        seen[name] += 1
        number = f"-{seen[name]}" if seen[name] > 1 else ""
        path = f"{RUNS}/{summary.run_id}/{CARDS}/{name}{number}.md"
        store.backend.put_bytes(path, text.encode())
        paths.append(path)
    return paths


def _models(summary: RunSummary, tables: RunTables) -> Iterator[tuple[str, str]]:
    algorithm = summary.config.get("policy", {}).get("algorithm", "ppo")
    kinds: dict[str, ModelKind] = {
        "train_reward_model": REWARD,
        "finetune_policy": SFT,
        "optimize_policy": policy_kind(algorithm),
        "optimize_by_preferences": policy_kind(algorithm),
    }
    told = set[str]()
    for step in summary.steps:
        kind = kinds.get(step.step)
        folder = _output(step, kind.contract.contract_id()) if kind else None
        if kind and folder and folder not in told:
            told.add(folder)
            manifest = tables.manifest(folder)
            files = manifest.parts[0].name.split("/")[0]
            yield kind.name, model_card(kind, summary, manifest.provenance, f"{summary.home}/{folder}/{files}")


def _datasets(summary: RunSummary, tables: RunTables) -> Iterator[tuple[str, str]]:
    rows = funnel(tables)
    for kind in (COMPARISONS, DEMONSTRATIONS):
        folders = [_output(step, kind.contract.contract_id()) for step in summary.steps]
        found = [folder for folder in folders if folder]
        if found:
            yield kind.name, dataset_card(kind, summary, rows, f"{summary.home}/{found[-1]}")


def _output(step: StepRecord, contract: str) -> str | None:
    return next((path for path in step.artifacts if path.startswith(f"{contract}/")), None)
