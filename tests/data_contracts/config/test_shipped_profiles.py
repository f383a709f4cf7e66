"""The profiles that come with the project: each says what it needs, and `paper` has the paper's numbers."""

import pytest

from data_contracts.config.profiles import PROFILE_FOLDER, load_profile, profile_names
from data_contracts.config.run_config import RunConfig


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_says_its_name_hardware_and_command(name: str):
    config = load_profile(name)
    assert config.profile == name
    header = "".join(
        line for line in (PROFILE_FOLDER / f"{name}.yaml").read_text().splitlines(True) if line.startswith("#")
    )
    assert "Hardware" in header
    assert "Command:" in header
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_profiles_of_the_design_are_there():
    assert {"smoke", "tiny", "laptop", "paper", "modern"} <= set(profile_names())


PUBLISHED = {  # arXiv 2305.13735, sections 2.1 to 2.3 and C.2
    "mining.queries": 10_000, "mining.static_shots": 7, "mining.dynamic_shots": 3, "mining.model": "large",
    "mining.top_p": 0.9, "mining.temperature": 1.2, "mining.rouge_l": 0.5,
    "sampling.top_p": 0.9, "sampling.temperature": 1.0, "sampling.max_new_tokens": 384,
    "ranking.pairing": "all", "filter.enabled": True, "filter.length": True, "filter.length_ties": False,
    "as_is.enabled": True, "as_is.pairs": 20_000,
    "reward.epochs": 1, "reward.learning_rate": 1e-5, "reward.batch_size": 64, "reward.max_length": 1024,
    "reward.likelihood": "off", "reward.ensemble": 1, "reward.rank_margin": 0,
    "self_play.assistant_model": "large", "self_play.assistant_prompt": "faithful", "self_play.assistant_shots": 3,
    "self_play.user_model": "large", "self_play.user_shots": 3, "self_play.candidates": 4, "self_play.turns": 2,
    "self_play.queries": None, "self_play.seen_share": 0.5,
    "sft.epochs": 3, "sft.learning_rate": 2e-5, "sft.batch_size": 128, "sft.max_length": 512, "sft.schedule": "cosine",
    "sft.warmup_share": 0.03,
    "policy.algorithm": "ppo", "policy.score_source": "reward_model", "policy.score_normalization": "none",
    # trlX's defaults, where the paper prints nothing
    "policy.learning_rate": 3e-5, "policy.kl_coefficient": 0.001, "policy.gae_lambda": 0.95, "policy.epochs": 4,
    "policy.rollouts": 128, "policy.unfrozen_layers": 2,
}  # fmt: skip


def test_the_papers_profile_has_the_papers_numbers():
    config = load_profile("paper")
    found = {name: getattr(getattr(config, name.split(".")[0]), name.split(".")[1]) for name in PUBLISHED}
    assert found == PUBLISHED
    sizes = {role: source.rpartition("-")[2] for role, source in config.models.named().items()}
    assert sizes == {"small": "7b", "mid": "13b", "large": "30b", "reward": "7b", "policy": "7b"}
    responders = [(r.name, sizes[r.model], r.prompt, r.shots) for r in config.responders]
    assert responders == [
        ("A", "30b", "faithful", 3), ("B", "30b", "hhh", 5), ("C", "13b", "hhh", 3), ("D", "7b", "hhh", 3),
        ("E", "7b", "hhh", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["paper", "modern"])
def test_batches_of_the_large_profiles_fill_their_processes(name: str):
    config = load_profile(name)
    ranks = config.training.processes
    for batch, micro in (
        (config.reward.batch_size, config.reward.micro_batch_size),
        (config.sft.batch_size, config.sft.micro_batch_size),
        (config.policy.minibatch_size, config.policy.micro_batch_size),
    ):
        assert batch % ranks == 0
        assert micro <= batch // ranks
    gpus = {gpu for place in config.placement.models.values() for gpu in place.gpus}
    assert gpus == set(range(ranks))
    judge = int(config.engine.device.removeprefix("cuda:"))
    assert judge not in config.placement.models["large"].gpus, (
        "self-play serves the large model beside the reward model"
    )
