"""From comparisons to the pairs that jobs learn from: a row per pair, held-out queries apart.

Held-out pairs are split off by query, so that no query is on both sides.
"""

from typing import Any

import numpy as np

from data_contracts.conversation import Role, Turn, to_column
from data_contracts.errors import EmptyResultError
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from models.seeding import derive_seed
from tasks.runtime.context import current


def kept_pairs(comparisons: Artifact[Comparison], rank_margin: float = 0.0) -> list[dict[str, Any]]:
    """The comparisons every filter kept, as pairs; `rank_margin` times their distance in rank is their margin.

    Raises:
        EmptyResultError: none was kept.
    """
    rows = [row for row in read(Comparison, comparisons).to_pylist() if row["kept"]]
    if not rows:
        step = current().step
        raise EmptyResultError(f"{step}: no comparison was kept; loosen filter.* or as_is.*, or mine more")
    return [
        pair_row(r["comparison_id"], r["query_id"], r["query"], r["chosen"], r["rejected"])
        | {"margin": rank_margin * (r["rejected_rank"] - r["chosen_rank"])}
        for r in rows
    ]


def pair_row(pair_id: str, query_id: str, query: str, chosen: str, rejected: str) -> dict[str, Any]:
    """A row of `preference_pairs` but for its split; no margin."""
    return {
        "pair_id": pair_id,
        "query_id": query_id,
        "context": to_column([Turn(Role.HUMAN, query)]),
        "chosen": chosen,
        "rejected": rejected,
        "margin": 0.0,
    }


def with_splits(pairs: list[dict[str, Any]], heldout_share: float, seed: int) -> list[dict[str, Any]]:
    """The pairs with their split."""
    heldout = heldout_queries([pair["query_id"] for pair in pairs], heldout_share, seed)
    return [pair | {"split": "heldout" if pair["query_id"] in heldout else "train"} for pair in pairs]


def heldout_queries(query_ids: list[str], share: float, seed: int) -> set[str]:
    """The queries held out: the rounded share of the distinct ids, drawn by seed; at least one if the share is not 0."""
    distinct = sorted(set(query_ids))
    number = min(len(distinct) - 1, max(1, round(share * len(distinct)))) if share > 0 else 0
    order = np.random.default_rng(derive_seed(seed, "heldout")).permutation(len(distinct))
    return {distinct[position] for position in order[: max(0, number)]}
