"""Collect the texts of the evaluation sets, so that mined queries can be checked against them."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError
from data_contracts.handles import EvaluationFile
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import DATASET_PART, EvaluationText, TextKind
from data_contracts.text_files import json_lines, open_text, reading
from models.evaluation.benchmarks import benchmark_files
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

FIELD = "evaluation.overlap_files"
LEAST_CHARS = 12
_SPEAKER = re.compile(r"(?:^|\n\n)(?:Human|Assistant):")


@step(version="4", phase=Phase.QUERIES)
def gather_evaluation_texts(
    *, files: tuple[EvaluationFile, ...], more: Rows[EvaluationText] | None
) -> Rows[EvaluationText]:
    """Every text of the files, then `more`: texts that lie in no file, as those of the tiny world."""
    texts: list[EvaluationText] = []
    for place, (source, file) in enumerate(((file.set_name, file.file) for file in files), start=1):
        found = dict.fromkeys(text for text in texts_of(Path(file.path)) if len(text) >= LEAST_CHARS)
        # Two folders may hold files of one name, hence the place.
        texts += [
            EvaluationText(text_id=f"{place}:{file.name}#{number}", source=source, kind=TextKind.TEXT, text=text)
            for number, text in enumerate(found)
        ]
    return rows_of(EvaluationText, [*texts, *(more or ())])


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
        yield from (text for _, row in benchmark_files.rows_of(FIELD, path) for text in _strings(row))
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
