"""Contracts and helpers the tests of the store share."""

from pathlib import Path

import pyarrow as pa

from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Provenance

KEY = "k" * 32
MADE = Provenance(step="count_animals", step_version="1", code="abc", config={"seed": 1})


class Animals(Row, table="animals", key="animal_id"):
    animal_id: str
    legs: int
    rules = (at_least("legs", 0),)


class AnimalsChanged(Animals):
    """The same name and version with another schema: a forgotten version bump."""

    eyes: int


def animals(*legs: int) -> pa.Table:
    return Animals.to_table(Animals(animal_id=f"a{n}", legs=n_legs) for n, n_legs in enumerate(legs))


class Opener:
    """Opens the same home anew, as another process would, each with a scratch folder of its own."""

    def __init__(self, url: str, tmp_path: Path) -> None:
        self.url, self.tmp_path, self.opened = url, tmp_path, 0

    def __call__(self) -> Store:
        self.opened += 1
        return Store(self.url, scratch=self.tmp_path / f"scratch-{self.opened}")


def names(store: Store, folder: str = f"animals@1/{KEY}") -> list[str]:
    return [name.rsplit("/", 1)[-1] for name in store.backend.list(folder)]


def part_name(store: Store, artifact: Artifact) -> str:
    return f"{artifact.path}/{store.manifest(artifact).parts[0].name}"


def spoil(store: Store, name: str, same_size: bool = True) -> None:
    content = store.backend.read_bytes(name)
    assert content is not None
    store.backend.put_bytes(name, content[:-1] + bytes([content[-1] ^ 1]) if same_size else content[:-1])
