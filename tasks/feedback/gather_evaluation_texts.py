"""Collect the texts of the evaluation sets, so that mined queries can be checked against them (DESIGN section 10)."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_contracts.config.world import WorldConfig
from data_contracts.errors import ConfigError
from data_contracts.handles import EvaluationFile
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluation_texts import DATASET_PART, EvaluationText
from data_contracts.tables.world_tables import WorldQuestion
from data_contracts.text_files import json_lines, open_text, reading
from models.evaluation.benchmarks.benchmark_files import rows_of
from models.tiny_world.world import Split, build_world
from tasks.runtime.step import step

FIELD = "evaluation.overlap_files"
LEAST_CHARS = 12
_SPEAKER = re.compile(r"(?:^|\n\n)(?:Human|Assistant):")


@step(version="3")
def gather_evaluation_texts(
    files: tuple[EvaluationFile, ...],
    questions: Artifact[WorldQuestion] | None,
    world: WorldConfig | None,
    world_seed: int,
) -> Artifact[EvaluationText]:
    """Every text of the files; of the tiny world, the dev and test questions, and the names they are about."""
    rows: list[dict[str, Any]] = []
    for place, (source, file) in enumerate(((file.set_name, file.file) for file in files), start=1):
        texts = dict.fromkeys(text for text in texts_of(Path(file.path)) if len(text) >= LEAST_CHARS)
        # Two folders may hold files of one name, hence the place.
        rows += [_text(f"{place}:{file.name}#{number}", source, text) for number, text in enumerate(texts)]
    if questions is not None:
        asked = read(WorldQuestion, questions).to_pylist()
        heldout = [row for row in asked if row["split"] != Split.TRAIN]
        rows += [
            _text(row["question_id"], f"tiny world {row['split']}", row["question"], kind="templated")
            for row in heldout
        ]
    if world is not None:
        facts = build_world(world, world_seed)
        for split in (Split.DEV, Split.TEST):
            terms = (*facts.names(split), *facts.task_names(split))
            rows += [_text(f"{split}:{term}", f"tiny world {split}", term, kind="term") for term in terms]
    return write(EvaluationText, EvaluationText.from_rows(rows))


def _text(text_id: str, source: str, text: str, kind: str = "text") -> dict[str, Any]:
    return {"text_id": text_id, "source": source, "kind": kind, "text": text}


def texts_of(path: Path) -> Iterator[str]:
    """Texts of a txt, csv, json, jsonl (also .gz) or parquet file: lines, cells, or strings; transcripts turn by turn.

    Raises:
        ConfigError: unknown ending, or the content is not what the ending says.
    """
    for text in _whole_texts(path):
        yield from (piece.strip() for piece in _SPEAKER.split(text)) if _SPEAKER.search(text) else (text.strip(),)


def _whole_texts(path: Path) -> Iterator[str]:
    ending = Path(path.name.removesuffix(".gz")).suffix
    if ending == ".jsonl":
        yield from (text for _, value in json_lines(path, FIELD) for text in _strings(value))
        return
    if ending == ".parquet":
        yield from (text for _, row in rows_of(FIELD, path) for text in _strings(row))
        return
    with reading(path, FIELD), open_text(path) as source:
        match ending:
            case ".txt":
                yield from source
            case ".csv":
                yield from (cell for row in csv.reader(source) for cell in row)
            case ".json":
                yield from _strings(json.load(source))
            case other:
                raise ConfigError(f"{FIELD}: {path} ends in '{other}'; known: txt, csv, json, jsonl, parquet")


def _strings(value: Any) -> Iterator[str]:
    """Strings, also those that are keys: TruthfulQA's answers are. A key without a space is a field's name.

    What `fetch_dataset` adds, the name of a data set's part, is no text of it.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == DATASET_PART:
                continue
            if isinstance(name, str) and " " in name:
                yield name
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
