"""The algorithms that may train the policy after SFT, by the names a profile gives them."""

from enum import StrEnum


class Algorithm(StrEnum):
    """How the SFT policy is optimised. Each algorithm has settings of its own (`data_contracts/config/policy/settings.py`)."""

    PPO = "ppo"
    RLOO = "rloo"
    GRPO = "grpo"
    DPO = "dpo"
    SIGMOID_NORM = "sigmoid_norm"


ALGORITHMS: dict[str, str] = {
    Algorithm.PPO: "PPO",
    Algorithm.RLOO: "RLOO",
    Algorithm.GRPO: "GRPO",
    Algorithm.DPO: "DPO",
    Algorithm.SIGMOID_NORM: "length-normalised DPO",
}  # an algorithm -> its name in titles and tables
