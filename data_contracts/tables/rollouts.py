"""What PPO sampled and how it was rewarded, step by step (ALMoST section 2.3)."""

import pyarrow as pa

from data_contracts.tables.contract import Contract, at_least, finite, integer, number, one_of, text
from data_contracts.tables.demonstrations import QUERY_SPLITS
from data_contracts.tables.responses import FINISH_REASONS


class Rollouts(Contract):
    """`score` is the raw reward-model score; `kl` sums log pi - log rho over the response; `reward` is what PPO saw."""

    name = "rollouts"
    schema = pa.schema(
        [
            text("rollout_id"),
            integer("step"),
            text("prompt_id"),
            text("query_id"),
            text("split"),
            text("prompt"),
            text("response"),
            integer("tokens"),
            text("finish_reason"),
            number("score"),
            number("kl"),
            number("reward"),
            number("logprob"),
        ]
    )
    key = "rollout_id"
    rules = (
        one_of("split", QUERY_SPLITS),
        one_of("finish_reason", FINISH_REASONS),
        at_least("tokens", 1),
        *(finite(column) for column in ("score", "kl", "reward", "logprob")),
    )
