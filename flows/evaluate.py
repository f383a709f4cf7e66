"""Flow `evaluate`: the paper's benchmarks on any checkpoints, made here or not (ALMoST section 3, Appendix E).

A folder with a sequence-classification head of one output is a reward model and gets the benchmarks that suit it.
"""

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import RewardCardSettings
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import home_url
from data_contracts.store.stored import Folder
from flows.asked_benchmarks import Asked
from flows.running.parameters import Home
from models.evaluation.alignment_tax import tax_table
from models.evaluation.paper_tables import PaperTable
from models.run_bill import folder_parameters
from tasks.inputs.resolve_models import resolve_model
from tasks.reporting.evaluation_report import aggregates_of, publish_tables, write_evaluation
from tasks.reporting.report_reward_card import card_text, publish_reward_card, reward_card_metrics
from tasks.reporting.run_summary import RunSummary, idle_seconds
from tasks.reporting.summarise_metrics import evaluation_metrics, tax_metrics, taxes_of
from tasks.reward.make_reward_card import make_preference_card
from tasks.runtime.context import current, use_store, within
from tasks.runtime.gpu_slot import gpu_slot
from tasks.runtime.loaded_models import folder_of
from tasks.runtime.run_log import run_observers
from tasks.runtime.run_record import RunRecord

ModelSources = Annotated[
    tuple[str, ...], Field(min_length=1, json_schema_extra={"title": "Models", "description": "Folders or Hub ids"})
]
BenchmarkNames = Annotated[
    tuple[str, ...],
    Field(json_schema_extra={"title": "Benchmarks", "description": "Empty: all that suit a model"}),
]
DataFolder = Annotated[
    str | None,
    Field(
        json_schema_extra={
            "title": "Data folder",
            "description": "Holds hhh/, mmlu/, ...; hub: public datasets; empty: ALMOST_DATA",
        }
    ),
]
Items = Annotated[
    int | None,
    Field(ge=1, json_schema_extra={"title": "Items", "description": "First of each split and subject; empty: all"}),
]
Shots = Annotated[int, Field(ge=0, le=5, json_schema_extra={"title": "MMLU shots", "description": "0 as the paper"})]
Style = Annotated[
    Literal["plain", "chat"], Field(json_schema_extra={"title": "Prompt style", "description": "chat: the model's own"})
]
Templates = Annotated[
    str | None,
    Field(json_schema_extra={"title": "Templates", "description": "Folder with NAME.txt; empty: Appendix E"}),
]


Taxes = Annotated[
    tuple[str, ...],
    Field(
        json_schema_extra={"title": "Alignment tax", "description": "BASE=TRAINED, two of the models above; any number"}
    ),
]
DEFAULT_ENGINE, CARD_SETTINGS = EngineConfig(), RewardCardSettings()


@flow(name="evaluate", description="The paper's benchmarks on any checkpoints.")
def evaluate(
    models: ModelSources,
    benchmarks: BenchmarkNames = (),
    data: DataFolder = None,
    items: Items = None,
    mmlu_shots: Shots = 0,
    style: Style = "plain",
    templates: Templates = None,
    home: Home = None,
    engine: EngineConfig = DEFAULT_ENGINE,
    taxes: Taxes = (),
) -> str:
    """Evaluate the models and return the run's id; rows, summary.json and tables.md are in the store."""
    started, now = time.monotonic(), datetime.now(UTC)
    store = Store(home_url(home))
    asked = Asked(benchmarks, data, items, mmlu_shots, style, templates)
    record = RunRecord()
    run_id = f"{now:%Y%m%d-%H%M%S}-evaluate-{uuid.uuid4().hex[:4]}"
    watching = current().observers
    with (
        run_observers() as observers,
        within(store=store, record=record, observers=(*watching, *observers)),
        gpu_slot(),
    ):
        named = name_models(models)
        shown, cards = measure(asked, named, name_bases(taxes, models, named), engine, record)
    config = asked.settings.model_dump(mode="json") | {"models": list(models), "engine": engine.model_dump(mode="json")}
    wall_s = time.monotonic() - started
    summary = RunSummary(
        run_id=run_id,
        status="finished",
        profile="evaluate",
        home=store.url,
        flow_run_id=str(flow_run.id) if flow_run.id else None,
        started_at=now.isoformat(timespec="seconds"),
        wall_s=wall_s,
        process_startup_s=None,
        startup_s=sum(step.startup_s for step in record.steps),
        working_s=sum(step.working_s for step in record.steps),
        orchestration_s=idle_seconds(record.steps, wall_s),
        seed=0,
        seeds={},
        steps=record.steps,
        metrics=record.metrics,
        config=config,
    )
    with use_store(store):
        write_evaluation(store, summary, shown, [card_text(card) for card in cards])
    return run_id


def measure(
    asked: Asked, named: dict[str, ModelHandle], bases: dict[str, str], engine: EngineConfig, record: RunRecord
) -> tuple[list[PaperTable], list[Folder[RewardCardFiles]]]:
    """Evaluate the named models, put metrics into the record, and publish tables and cards; both are returned."""
    tables, cards = [], {}
    for subject, model in named.items():
        preferences = asked.preferences(subject, model, engine)
        tables += [*asked.tables(subject, model, engine), *preferences]
        if preferences:
            cards[subject] = make_preference_card(subject=subject, preferences=preferences, settings=CARD_SETTINGS)
    record.add_metrics(evaluation_metrics(tables))
    for subject, card in cards.items():
        record.add_metrics({f"{name}.{subject}": value for name, value in reward_card_metrics(card).items()})
        publish_reward_card(card)
    lost = taxes_of(tables, bases)
    record.add_metrics(tax_metrics(lost))
    sizes = {subject: folder_parameters(folder_of(named[subject])) for subject in bases}
    tax = tax_table(lost, bases, sizes)
    return publish_tables(aggregates_of(tables), [tax] if tax else []), list(cards.values())


def name_models(sources: tuple[str, ...]) -> dict[str, ModelHandle]:
    """Models by the name they have in tables: the folder's own, numbered where two folders have one name."""
    named: dict[str, ModelHandle] = {}
    for source in sources:
        model = resolve_model("--model", source, {})
        base = Path(source).expanduser().name or Path(source).resolve().name
        number = sum(name == base or name.startswith(f"{base} (") for name in named)
        named[f"{base} ({number + 1})" if number else base] = model
    return named


def name_bases(taxes: tuple[str, ...], sources: tuple[str, ...], named: dict[str, ModelHandle]) -> dict[str, str]:
    """Trained model -> its base, by their names in tables; both are given as in `models`, or by that name.

    Raises:
        ConfigError: not of the form BASE=TRAINED, or one is none of the models.
    """
    known = dict(zip(sources, named, strict=True)) | {name: name for name in named}
    bases = {}
    for pair in taxes:
        base, _, trained = pair.partition("=")
        if base not in known or trained not in known or known[base] == known[trained]:
            raise ConfigError(f"--tax {pair}: expected BASE=TRAINED, two different ones of: {', '.join(sources)}")
        bases[known[trained]] = known[base]
    return bases
