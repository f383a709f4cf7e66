"""A file given as a dataset's name: `hub:ID[@REVISION][?name=..&data_dir=..&split=..&rows=..]`, as local JSON lines.

ID is a dataset on the Hub, or a local folder or file that `datasets.load_dataset` reads; `split` is `test` unless said,
and may be a slice (`train[:20000]`), for which all of the split is fetched. With `rows` only the beginning of the split
is, of a data set too large to keep. The Hub's revision is resolved to a commit first, and a commit is fetched once.
Whatever is asked for afterwards is asked of the file, by its content.
"""

import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl

from data_contracts.errors import ConfigError
from data_contracts.tables.evaluation_texts import DATASET_PART
from models.hub import hub_errors

HUB = "hub:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPTIONS = ("name", "data_dir", "split", "rows")
_FORM = f"hub:ID[@REVISION][?{'&'.join(f'{option}=..' for option in _OPTIONS)}]"


@dataclass(frozen=True)
class DatasetSource:
    """A parsed name."""

    path: str
    revision: str | None
    name: str | None
    data_dir: str | None
    split: str
    rows: int | None = None

    @property
    def is_local(self) -> bool:
        return self.path.startswith((".", "/", "~"))

    def file_name(self, commit: str) -> str:
        """Says what is in the file, beginning with the split, as the benchmarks' files do."""
        rows = f"first_{self.rows}" if self.rows else None
        parts = (self.split, Path(self.path).name, self.name, self.data_dir, rows, commit[:12])
        return "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts if part) + ".jsonl"


def parse_source(field: str, source: str) -> DatasetSource:
    """The parts of a `hub:` name.

    Raises:
        ConfigError: there is no ID, an unknown option, or a number of rows that is none.
    """
    name, _, query = source.removeprefix(HUB).partition("?")
    path, _, revision = name.partition("@")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    rows, split = options.get("rows"), options.get("split") or "test"
    what = ""
    if unknown:
        what = f"unknown option '{unknown[0]}'"
    elif not path or (query and not options):
        what = "no dataset named"
    elif rows is not None and (not rows.isdecimal() or int(rows) == 0):
        what = f"rows is '{rows}', not a number of rows"
    elif rows is not None and "[" in split:
        what = "rows takes the beginning of a whole split: leave the slice out"
    if what:
        raise ConfigError(f"{field}: {source}: {what}; expected {_FORM}")
    number = None if rows is None else int(rows)
    return DatasetSource(path, revision or None, options.get("name"), options.get("data_dir"), split, number)


def fetch_dataset(field: str, source: str) -> Path:
    """The local file of a `hub:` name, fetched unless it is there.

    Raises:
        ConfigError: it cannot be fetched or read.
    """
    from datasets import config

    asked = parse_source(field, source)
    folder = Path(config.HF_DATASETS_CACHE) / "almost"
    try:
        if not asked.is_local:
            commit = _commit(asked)
            target = folder / asked.file_name(commit)
            return target if target.is_file() else _load(asked, asked.path, commit, None, target)
        path = Path(asked.path).expanduser()
        with TemporaryDirectory() as cache:  # the library's own takes a folder that changed just now for the old one
            return _load(asked, str(path), None, cache, folder / asked.file_name(_local_name(path)))
    except hub_errors() as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"{field}: dataset '{source}' cannot be fetched: {reason}; check the name and the network, or name local files"
        ) from error


def _load(asked: DatasetSource, path: str, commit: str | None, cache: str | None, target: Path) -> Path:
    from datasets import load_dataset

    streaming = asked.rows is not None
    loaded: Any = load_dataset(
        path,
        asked.name,
        data_dir=asked.data_dir,
        split=asked.split,
        revision=commit,
        cache_dir=cache,
        streaming=streaming,
    )
    _write(target, loaded.take(asked.rows) if streaming else loaded, asked.name or asked.data_dir)
    return target


def _local_name(path: Path) -> str:
    """Two folders of one name in different places are two datasets."""
    return sha256(os.path.abspath(path).encode()).hexdigest()


def _commit(asked: DatasetSource) -> str:
    if asked.revision and _COMMIT.fullmatch(asked.revision):
        return asked.revision
    from huggingface_hub import HfApi

    found = HfApi().dataset_info(asked.path, revision=asked.revision, timeout=30).sha
    assert found is not None
    return found


def _write(target: Path, rows: Any, part: str | None) -> None:
    """JSON lines, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8") as sink:
        for row in rows:
            sink.write(json.dumps(row | ({DATASET_PART: part} if part else {}), ensure_ascii=False, default=str) + "\n")
    unfinished.replace(target)
