"""The pairs that a reward model or DPO learns from: two answers to one query, and whether the query is held out.

Pairs are held out by query, so that no query has pairs on both sides. The pairs are made while they are read: only the
queries' ids stay in memory, however many comparisons there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.rows.rows import Rows, stream
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit
from models.seeding import derive_seed


def pairs_of_comparisons(
    comparisons: Rows[Comparison], *, heldout_share: float, seed: int, rank_margin: float = 0.0
) -> Rows[PreferencePair]:
    """The comparisons that every filter kept, as pairs; a pair's margin is `rank_margin` times its distance in rank.

    Raises:
        EmptyResultError: no comparison was kept.
    """
    queries = {comparison.query_id for comparison in comparisons if comparison.kept}
    if not queries:
        raise EmptyResultError(
            "no comparison was kept; loosen filter.* or as_is.*, or mine more queries (mining.queries)"
        )
    heldout = heldout_queries(queries, heldout_share, seed)

    def pairs() -> Iterator[PreferencePair]:
        for comparison in comparisons:
            if comparison.kept:
                yield PreferencePair(
                    pair_id=comparison.comparison_id,
                    query_id=comparison.query_id,
                    split=_split(comparison.query_id, heldout),
                    context=(Turn(Role.HUMAN, comparison.query),),
                    chosen=comparison.chosen,
                    rejected=comparison.rejected,
                    margin=rank_margin * (comparison.rejected_rank - comparison.chosen_rank),
                )

    return stream(PreferencePair, pairs)


def pairs_of_community_answers(
    answers: Sequence[CommunityAnswer], *, heldout_share: float, seed: int
) -> Rows[PreferencePair]:
    """Community answers as pairs without a margin; every one counts as a query of its own."""
    heldout = heldout_queries((answer.pair_id for answer in answers), heldout_share, seed)
    return stream(
        PreferencePair,
        lambda: (
            PreferencePair(
                pair_id=answer.pair_id,
                query_id=answer.pair_id,
                split=_split(answer.pair_id, heldout),
                context=(Turn(Role.HUMAN, answer.question),),
                chosen=answer.chosen,
                rejected=answer.rejected,
                margin=0.0,
            )
            for answer in answers
        ),
    )


def pairs_of(split: PairSplit, files: Sequence[Path]) -> Iterator[PreferencePair]:
    """The pairs of one split, in the order of the Parquet files that hold all of them."""
    return (pair for pair in PreferencePair.read_files(files) if pair.split is split)


def heldout_queries(query_ids: Iterable[str], share: float, seed: int) -> set[str]:
    """The queries held out: the rounded share of the distinct ids, drawn by seed; at least one if the share is not 0."""
    distinct = sorted(set(query_ids))
    number = min(len(distinct) - 1, max(1, round(share * len(distinct)))) if share > 0 else 0
    order = np.random.default_rng(derive_seed(seed, "heldout")).permutation(len(distinct))
    return {distinct[position] for position in order[: max(0, number)]}


def _split(query_id: str, heldout: set[str]) -> PairSplit:
    return PairSplit.HELDOUT if query_id in heldout else PairSplit.TRAIN
