"""Profiles: every one loads, --set is typed, and whatever is wrong is told in one line."""

from pathlib import Path

import pytest
import yaml

from data_contracts.errors import ConfigError
from data_contracts.keys import identity
from data_contracts.placement import Target
from data_contracts.profiles import PROFILE_FOLDER, load_profile, profile_names
from data_contracts.run_config import RunConfig
from data_contracts.sections import Pairing


def message_of(profile: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load_profile(profile, overrides)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 500
    assert raised.value.exit_code == 2
    return message


def profile_file(tmp_path: Path, **changes: object) -> str:
    """A small valid profile without a tiny world, with some sections replaced (None removes one)."""
    content: dict[str, object] = {
        "models": dict.fromkeys(("small", "mid", "large", "reward", "policy"), "some/model"),
        "responders": [
            {"name": "A", "model": "large", "prompt": "faithful", "shots": 3},
            {"name": "B", "model": "small", "prompt": "hhh", "shots": 1},
        ],
        "as_is": {"enabled": False},
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


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
    "policy.optimizer": "ppo", "policy.score_source": "reward_model", "policy.score_normalization": "none",
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


def test_a_profile_file_is_named_after_itself(tmp_path: Path):
    assert load_profile(profile_file(tmp_path)).profile == "own"
    assert load_profile(profile_file(tmp_path, profile="mine")).profile == "mine"


# --- overrides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("mining.queries=7", "mining", "queries", 7),
        ("mining.rouge_l=1", "mining", "rouge_l", 1.0),
        ("reward.learning_rate=1e-5", "reward", "learning_rate", 1e-5),
        ("mining.drop_ties=true", "mining", "drop_ties", True),
        ("mining.bad_words=[a, b c]", "mining", "bad_words", ("a", "b c")),
        ("mining.bad_words=[]", "mining", "bad_words", ()),
        ("ranking.pairing=upstream", "ranking", "pairing", Pairing.UPSTREAM),
        ("as_is.pairs_file=x=y.jsonl", "as_is", "pairs_file", "x=y.jsonl"),
        ("as_is.pairs_file=null", "as_is", "pairs_file", None),
        ("self_play.queries=", "self_play", "queries", None),
        ("policy.kl_target=6", "policy", "kl_target", 6.0),
        (" mining.queries = 8", "mining", "queries", 8),
    ],
)
def test_values_are_typed_by_the_field(override: str, section: str, field: str, value: object):
    found = getattr(getattr(load_profile("smoke", [override]), section), field)
    assert found == value
    assert type(found) is type(value)


def test_overrides_reach_into_lists_and_nested_sections_and_the_last_one_wins():
    config = load_profile(
        "smoke",
        [
            "responders.0.shots=2",
            "world.community.pairs=50",
            "pretraining.sizes.small.hidden=16",
            "seeds.data=1",
            "seeds.data=9",
        ],
    )
    assert config.responders[0].shots == 2
    assert config.world is not None
    assert config.world.community.pairs == 50
    assert config.pretraining is not None
    assert config.pretraining.sizes["small"].hidden == 16
    assert config.seeds.data == 9
    assert load_profile("smoke").responders[0].shots == 3, "overrides must not leak into the next load"


def test_a_section_that_the_profile_leaves_out_can_be_set(tmp_path: Path):
    assert load_profile(profile_file(tmp_path), ["seeds.data=4"]).seeds.data == 4


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("mining.queries", ["expected section.field=value"]),
        ("mining=3", ["expected section.field=value"]),
        (".queries=3", ["expected section.field=value"]),
        ("=3", ["expected section.field=value"]),
        ("minning.queries=3", ["unknown section 'minning'", "known:", "mining"]),
        ("mining.querys=3", ["mining.querys", "no such field"]),
        ("mining.queries=many", ["mining.queries", "'many'"]),
        ("mining.queries=1.5", ["mining.queries", "1.5"]),
        ("mining.queries=0", ["mining.queries", "greater than or equal to 1", "0"]),
        ("mining.queries.deep=0", ["'queries' is a value, not a section"]),
        ("sampling.top_p=1.1", ["sampling.top_p", "less than or equal to 1"]),
        ("mining.drop_ties=perhaps", ["mining.drop_ties", "perhaps"]),
        ("ranking.pairing=some", ["ranking.pairing", "'all' or 'upstream'"]),
        ("responders.9.shots=1", ["'9' is not a position from 0 to 4"]),
        ("responders.-1.shots=1", ["'-1' is not a position"]),
        ("responders.0=", ["responders.0"]),
        ("responders.0.shots=-1", ["responders.0.shots", "greater than or equal to 0"]),
        ("responders=[]", ["expected section.field=value"]),
        ("mining.bad_words=[a", ["not valid YAML"]),
        ("models.small=12", ["models.small", "string"]),
        ("policy.minibatch_size=4096", ["policy.minibatch_size 4096 is more than policy.rollouts"]),
        ("mining.bad_words=['']", ["mining.bad_words.0"]),
        ("filter.refusals=[' ']", ["filter.refusals.0"]),
        ("filter.fillers=[well, '']", ["filter.fillers.1"]),
        ("engine.dtype=float8", ["engine.dtype", "'float32', 'bfloat16' or 'float16'"]),
        ("engine.device=moon", ["engine.device", "'moon'"]),
        ("placement.heavy=moon", ["placement.heavy", "'inline' or 'pool'"]),
        ("world.questions.how_to=0.9", ["world.questions", "add up to 1.75"]),
    ],
)
def test_a_wrong_override_is_told_in_one_line(override: str, parts: list[str]):
    message = message_of("smoke", override)
    for part in parts:
        assert part in message


def test_where_stages_run_comes_from_the_environment_where_the_profile_is_silent(monkeypatch: pytest.MonkeyPatch):
    assert load_profile("smoke").placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "pool")
    assert load_profile("smoke").placement.heavy is Target.POOL
    assert load_profile("smoke", ["placement.heavy=inline"]).placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "moon")
    assert "'moon'" in message_of("smoke")


def test_several_problems_are_counted():
    assert "and 1 more" in message_of("smoke", "mining.queries=0", "sampling.top_p=2")


# --- files ------------------------------------------------------------------------------------------------------


def test_unknown_profiles_name_the_known_ones(tmp_path: Path):
    assert "unknown profile 'smoke2'; known: " in message_of("smoke2")
    assert "smoke" in message_of("")
    assert "unknown profile" in message_of("../profiles/smoke")
    assert "does not exist" in message_of(str(tmp_path / "absent.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "does not exist" in message_of(str(tmp_path / "folder.yaml"))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"mining: [", "not valid YAML"),
        (b"just words", "expected sections"),
        (b"", "expected sections"),
        (b"- a\n- b\n", "expected sections"),
        (b"\xff\xfe\x00mining", "not"),
        (b"minning: {queries: 3}", "no such field"),
        (b"mining: {queries: 3}", "models"),
        (b"3: 4", "models"),
    ],
)
def test_a_broken_profile_file_is_told_in_one_line(tmp_path: Path, content: bytes, part: str):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    message = message_of(str(path))
    assert part in message
    assert "broken" in message


# --- rules across sections --------------------------------------------------------------------------------------


def responders(**changes: object) -> list[dict[str, object]]:
    first: dict[str, object] = {"name": "A", "model": "large", "prompt": "faithful", "shots": 3}
    return [first | changes, {"name": "B", "model": "small", "prompt": "hhh", "shots": 1}]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"responders": responders(model="huge")}, "'A' uses model 'huge'; known: small, mid, large"),
        ({"responders": responders(prompt="user")}, "'A' uses prompt 'user'; known: hhh, faithful"),
        ({"responders": responders(name="B")}, "names repeat"),
        ({"responders": responders(name="A>B")}, "responders.0.name"),
        ({"responders": responders(name="")}, "responders.0.name"),
        ({"responders": responders()[:1]}, "at least 2"),
        ({"responders": None}, "responders"),
        ({"mining": {"model": "tiny"}}, "mining.model is 'tiny'"),
        ({"self_play": {"assistant_model": "reward"}}, "self_play.assistant_model"),
        ({"self_play": {"user_model": "policy"}}, "self_play.user_model"),
        ({"self_play": {"assistant_prompt": "user"}}, "self_play.assistant_prompt"),
        ({"prompts": {"hhh": "world"}}, "prompts.hhh is 'world', but there is no section 'world'"),
        (
            {"models": dict.fromkeys(("small", "mid", "large", "reward", "policy"), "tiny:small")},
            "'world' and 'pretraining'",
        ),
    ],
)
def test_rules_across_sections(tmp_path: Path, changes: dict[str, object], part: str):
    assert part in message_of(profile_file(tmp_path, **changes))


def test_a_tiny_model_must_be_one_of_the_ladder():
    assert "models.policy is 'tiny:huge'; known: small, mid, large" in message_of("smoke", "models.policy=tiny:huge")


def test_the_ladder_is_pretrained_plainly_unless_its_layout_is_asked_for():
    asked = ["training.zero_stage=3", "training.processes=4", "training.bf16=true", "training.lora_rank=8"]
    plain, layout = load_profile("smoke", asked), load_profile("smoke", [*asked, "pretraining.layout=training"])
    default = load_profile("smoke")
    assert identity(plain.ladder_training()) == identity(default.ladder_training()) == identity(default.training)
    assert plain.ladder_training().save_every == plain.training.save_every
    assert layout.ladder_training() == layout.training.model_copy(update={"lora_rank": 0})
    assert layout.pretraining is not None
    assert default.pretraining is not None
    assert identity(layout.pretraining) == identity(default.pretraining), "the settings that follow enter the key"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["training.offload=true", "training.zero_stage=1"],
            "training.offload needs training.zero_stage 2 or 3, found 1",
        ),
        (
            ["training.lora_rank=4", "policy.unfrozen_layers=1"],
            "policy.unfrozen_layers does not go with training.lora_rank",
        ),
    ],
)
def test_what_no_job_could_run_is_refused_at_once(settings: list[str], words: str):
    assert words in message_of("smoke", *settings)
