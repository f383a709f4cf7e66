"""Profiles: every one loads, --set is typed, and whatever is wrong is told in one line."""

from pathlib import Path

import pytest
import yaml

from data_contracts.config.placement import Target
from data_contracts.config.profiles import load_profile
from data_contracts.config.ranking import Pairing
from data_contracts.errors import ConfigError
from data_contracts.store.keys import identity


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
        ("policy.minibatch_size=4096", ["policy: minibatch_size 4096 is more than rollouts"]),
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
            "training: offload needs zero_stage 2 or 3, found 1",
        ),
        (
            ["training.lora_rank=4", "policy.unfrozen_layers=1"],
            "policy.unfrozen_layers does not go with training.lora_rank",
        ),
    ],
)
def test_what_no_job_could_run_is_refused_at_once(settings: list[str], words: str):
    assert words in message_of("smoke", *settings)
