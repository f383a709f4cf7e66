"""From responses to comparisons by the rule of thumb (ALMoST section 2.1).

Larger > smaller, more shots > fewer, better demonstrations > worse: responders carry their rank, 1 is best. Every
ordered pair of a query's ranking becomes a comparison. Upstream's pairing is a verdict of `filter_comparisons`,
because it depends on which pairs survive. Rows that a model server failed are no responses and join no pair.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations, zip_longest

from data_contracts.errors import ContractError
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.rows import Rows, stream
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.responses import Response
from tasks.runtime.context import count
from tasks.runtime.phases import Phase
from tasks.runtime.step import step


@step(version="2", phase=Phase.COMPARISONS)
def rank_comparisons(*, responses: list[Rows[Response]]) -> Rows[Comparison]:
    """Pair the responses of each query, the assumed better one as chosen. One table per responder, in one query order."""
    return stream(Comparison, lambda: (pair for ranked in by_query(responses) for pair in pair_by_rank(ranked)))


def by_query(responses: list[Rows[Response]]) -> Iterator[list[Response]]:
    """The responses to each query that did not fail, query by query.

    Raises:
        ContractError: the responders answered different queries, or in another order.
    """
    for answers in zip_longest(*responses):
        asked = {answer.query_id for answer in answers if answer is not None}
        if len(asked) != 1 or None in answers:
            raise ContractError(
                f"responses@1: the responders answered different queries, or in another order: {sorted(asked)}"
            )
        given = [answer for answer in answers if answer.finish_reason is not FinishReason.FAILED]
        count(failed_responses_left_out=len(answers) - len(given))
        yield given


def pair_by_rank(responses: Iterable[Response]) -> Iterator[Comparison]:
    """Every pair of responses to one query, the lower rank chosen.

    Raises:
        ContractError: two responses have the same rank.
    """
    ranked = sorted(responses, key=lambda response: response.responder_rank)
    ranks = [response.responder_rank for response in ranked]
    if len(set(ranks)) < len(ranks):
        raise ContractError(f"responses@1: query {ranked[0].query_id} has two responses of the same rank: {ranks}")
    for chosen, rejected in combinations(ranked, 2):
        yield Comparison(
            comparison_id=f"{chosen.query_id}-{chosen.responder}>{rejected.responder}",
            query_id=chosen.query_id,
            query=chosen.query,
            chosen_response_id=chosen.response_id,
            rejected_response_id=rejected.response_id,
            chosen=chosen.response,
            rejected=rejected.response,
            chosen_responder=chosen.responder,
            rejected_responder=rejected.responder,
            chosen_rank=chosen.responder_rank,
            rejected_rank=rejected.responder_rank,
        )
