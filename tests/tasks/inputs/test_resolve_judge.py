"""What an A/B test needs is checked before a run begins."""

import json
from pathlib import Path

import pytest

from data_contracts.config.profiles import load_profile
from data_contracts.config.world import GoldJudgeSource
from data_contracts.errors import ConfigError
from tasks.inputs.resolve_judge import check_judge, resolve_judge


def test_the_tiny_profiles_have_their_judge():
    check_judge(load_profile("smoke"))
    check_judge(load_profile("tiny"))


def test_the_tiny_worlds_judge_counts_by_its_world_and_seed():
    config = load_profile("smoke", ["evaluation.judge.kind=gold"])
    assert config.world is not None
    assert resolve_judge(config) == GoldJudgeSource(world=config.world, world_seed=config.seeds.world)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["evaluation.judge.kind=model"], "evaluation.judge.model is empty"),
        (["evaluation.judge.questions_file=/nowhere.jsonl"], "does not exist"),
        (["evaluation.judge.prompt=/nowhere.txt"], "cannot read /nowhere.txt"),
    ],
)
def test_what_is_missing_is_named(settings: list[str], part: str):
    with pytest.raises(ConfigError, match=r"evaluation\.judge") as raised:
        check_judge(load_profile("smoke", settings))
    assert part in str(raised.value)


def test_a_judge_needs_a_server_that_runs(tmp_path: Path):
    folder = tmp_path / "judge"
    folder.mkdir()
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps({}))
    (folder / "model.safetensors").write_bytes(b"")
    settings = ["evaluation.judge.kind=model", f"evaluation.judge.model={folder}"]
    with pytest.raises(ConfigError, match="needs base_url"):
        check_judge(load_profile("smoke", [*settings, "evaluation.judge.engine.kind=openai"]))
    with pytest.raises(ConfigError, match="no server is started for a judge"):
        check_judge(load_profile("smoke", [*settings, "evaluation.judge.engine.kind=vllm"]))


def test_a_wrong_prompt_is_named(tmp_path: Path):
    path = tmp_path / "judge.txt"
    path.write_text("Which is better? {answer_1} {answer_2}")
    with pytest.raises(ConfigError, match=r"lacks \{question\}"):
        check_judge(load_profile("smoke", [f"evaluation.judge.prompt={path}"]))
