"""A file given as a dataset's name: `hub:ID[@REVISION][?name=..&data_dir=..&split=..]` becomes a local JSON-lines file.

ID is a dataset on the Hub, or a local folder or file that `datasets.load_dataset` reads; `split` is `test` unless said,
and may be a slice (`train[:20000]`). The Hub's revision is resolved to a commit first, and a commit is fetched once.
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

HUB = "hub:"
PART = "dataset_part"  # column with the configuration's name, or the folder's, where one is given
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OPTIONS = ("name", "data_dir", "split")


@dataclass(frozen=True)
class DatasetSource:
    """A parsed name."""

    path: str
    revision: str | None
    name: str | None
    data_dir: str | None
    split: str

    @property
    def is_local(self) -> bool:
        return self.path.startswith((".", "/", "~"))

    def file_name(self, commit: str) -> str:
        """Says what is in the file, beginning with the split, as the benchmarks' files do."""
        parts = (self.split, Path(self.path).name, self.name, self.data_dir, commit[:12])
        return "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts if part) + ".jsonl"


def parse_source(field: str, source: str) -> DatasetSource:
    """The parts of a `hub:` name.

    Raises:
        ConfigError: there is no ID, or an unknown option.
    """
    name, _, query = source.removeprefix(HUB).partition("?")
    path, _, revision = name.partition("@")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if not path or unknown or (query and not options):
        what = f"unknown option '{unknown[0]}'" if unknown else "no dataset named"
        raise ConfigError(f"{field}: {source}: {what}; expected hub:ID[@REVISION][?name=..&data_dir=..&split=..]")
    return DatasetSource(
        path, revision or None, options.get("name"), options.get("data_dir"), options.get("split") or "test"
    )


def fetch_dataset(field: str, source: str) -> Path:
    """The local file of a `hub:` name, fetched unless it is there.

    Raises:
        ConfigError: it cannot be fetched or read.
    """
    from datasets import config
    from huggingface_hub.errors import HfHubHTTPError

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
    except (OSError, ValueError, HfHubHTTPError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"{field}: dataset '{source}' cannot be fetched: {reason}; check the name and the network, or name local files"
        ) from error


def _load(asked: DatasetSource, path: str, commit: str | None, cache: str | None, target: Path) -> Path:
    from datasets import load_dataset

    loaded = load_dataset(
        path, asked.name, data_dir=asked.data_dir, split=asked.split, revision=commit, cache_dir=cache
    )
    _write(target, loaded, asked.name or asked.data_dir)
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
            sink.write(json.dumps(row | ({PART: part} if part else {}), ensure_ascii=False, default=str) + "\n")
    unfinished.replace(target)
