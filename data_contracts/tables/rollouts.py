"""What PPO sampled and how it was rewarded, step by step (ALMoST section 2.3)."""

from data_contracts.finish_reason import FinishReason
from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least, finite
from data_contracts.tables.demonstrations import QuerySplit


class Rollout(Row, table="rollouts", key="rollout_id"):
    """`score` is the raw reward-model score; `kl` sums log pi - log rho over the response; `reward` is what PPO saw."""

    rollout_id: str
    step: int
    prompt_id: str
    query_id: str
    split: QuerySplit
    prompt: str
    response: str
    tokens: int
    finish_reason: FinishReason
    score: float
    kl: float
    reward: float
    logprob: float

    rules = (
        at_least("tokens", 1),
        *(finite(column) for column in ("score", "kl", "reward", "logprob")),
    )
