"""Published data: what a scheduled regeneration leaves for training, in a numbered sequence that nobody overwrites.

`latest` is the highest number. Publication n + 1 is written by one conditional put, so it only succeeds for whoever
built on n (compare-and-swap); the loser builds again, on the winner's pool. Training claims a publication the same way,
once.
"""

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.config.profiles import config_from
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.rows.rows import Rows
from data_contracts.store.artifact_store import Store
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from tasks.feedback.mined_queries import MinedQueries
from tasks.reward.train_reward_model import TrainedRewardModel

FOLDER = "published"
_NAME = re.compile(r"/(\d+)\.json$")


class Publication(BaseModel):
    """One generation of data, and the pool of every query so far."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    number: int
    run: str = Field(description="Flow run that made it; its retry finds it")
    data_seed: int
    pool: Rows[Query] = Field(description="Every query ever kept: what later generations are compared with")
    mined: MinedQueries = Field(description="`queries` are those to train on; the rest is this generation's")
    responses: tuple[Rows[Response], ...] = Field(description="Of this generation")
    comparisons: Rows[Comparison] = Field(description="Those to train on")
    as_is: TrainedRewardModel | None
    config: dict = Field(description="The configuration it was made with")

    def run_config(self, seed: int | None = None) -> RunConfig:
        """The configuration, for training on this data."""
        content = self.config if seed is None else self.config | {"seeds": self.config["seeds"] | {"train": seed}}
        return config_from(content, where=f"publication {self.number}")


def latest(store: Store) -> Publication | None:
    """The newest publication, None before the first."""
    numbers = _numbers(store)
    return read(store, numbers[-1]) if numbers else None


def read(store: Store, number: int) -> Publication:
    """One publication.

    Raises:
        ConfigError: there is none of that number.
    """
    content = store.backend.read_bytes(_path(number))
    if content is None:
        raise ConfigError(f"publication {number} is not in {store.url}; known: {_numbers(store) or 'none'}")
    return Publication.model_validate_json(content, context={"stored": store.stored})


def made_by(store: Store, run: str) -> Publication | None:
    """What an earlier attempt of this flow run has published already."""
    for number in reversed(_numbers(store)):
        publication = read(store, number)
        if publication.run == run:
            return publication
    return None


def publish(store: Store, publication: Publication) -> bool:
    """Make it the latest; False when another has taken its number."""
    return store.backend.put_new(_path(publication.number), publication.model_dump_json(indent=1).encode())


def consume(store: Store, number: int, run: str) -> bool:
    """Claim a publication for a training run; True for the first to ask, and for that one again (a retry)."""
    name = f"{FOLDER}/{number:06d}.consumed"
    return store.backend.put_new(name, run.encode()) or store.backend.read_bytes(name) == run.encode()


def is_consumed(store: Store, number: int) -> bool:
    """Whether a training run has claimed it."""
    return store.backend.read_bytes(f"{FOLDER}/{number:06d}.consumed") is not None


def _numbers(store: Store) -> Sequence[int]:
    return sorted(int(match.group(1)) for name in store.backend.list(FOLDER) if (match := _NAME.search(name)))


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.json"
