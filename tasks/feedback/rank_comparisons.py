"""From responses to comparisons by the rule of thumb (ALMoST section 2.1).

Larger > smaller, more shots > fewer, better demonstrations > worse: responders carry their rank, 1 is best. Every
ordered pair of a query's ranking becomes a comparison. Upstream's pairing is a verdict of `filter_comparisons`,
because it depends on which pairs survive. Rows that a model server failed are no responses and join no pair.
"""

from itertools import combinations
from typing import Any

from data_contracts.errors import ContractError
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparisons, Verdict
from data_contracts.tables.responses import FAILED, Responses
from tasks.runtime.step import step
from tasks.runtime.step_context import count, read, write


@step(version="1")
def rank_comparisons(responses: list[Artifact[Responses]]) -> Artifact[Comparisons]:
    """Pair the responses of each query, the assumed better one as chosen."""
    every = [row for artifact in responses for row in read(Responses, artifact).to_pylist()]
    rows = [row for row in every if row["finish_reason"] != FAILED]
    count(failed_responses_left_out=len(every) - len(rows))
    return write(Comparisons, Comparisons.from_rows(pair_by_rank(rows)))


def pair_by_rank(responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pair of responses to one query, the lower rank chosen; queries keep the order they first appear in.

    Raises:
        ContractError: two responses to one query have the same rank.
    """
    by_query: dict[str, list[dict[str, Any]]] = {}
    for response in responses:
        by_query.setdefault(response["query_id"], []).append(response)
    comparisons = []
    for query_id, ranked in by_query.items():
        ranked.sort(key=lambda response: response["responder_rank"])
        ranks = [response["responder_rank"] for response in ranked]
        if len(set(ranks)) < len(ranks):
            raise ContractError(f"responses@1: query {query_id} has two responses of the same rank: {ranks}")
        comparisons += [_comparison(chosen, rejected) for chosen, rejected in combinations(ranked, 2)]
    return comparisons


def _comparison(chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
    return {
        "comparison_id": f"{chosen['query_id']}-{chosen['responder']}>{rejected['responder']}",
        "query_id": chosen["query_id"],
        "query": chosen["query"],
        "chosen_response_id": chosen["response_id"],
        "rejected_response_id": rejected["response_id"],
        "chosen": chosen["response"],
        "rejected": rejected["response"],
        "chosen_responder": chosen["responder"],
        "rejected_responder": rejected["responder"],
        "chosen_rank": chosen["responder_rank"],
        "rejected_rank": rejected["responder_rank"],
        "verdict_words": Verdict.NOT_JUDGED.value,
        "verdict_length": Verdict.NOT_JUDGED.value,
        "verdict_pairing": Verdict.NOT_JUDGED.value,
        "verdict_as_is": Verdict.NOT_JUDGED.value,
        "length_mean": None,
        "length_std": None,
        "as_is_margin": None,
        "kept": True,
        "dropped_because": None,
        "evidence": None,
    }
