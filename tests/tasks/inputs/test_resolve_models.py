"""What a profile names, resolved by content; every mistake is one ConfigError that names the field."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.profiles import config_from
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.handles import ModelHandle
from models.prompts.few_shot_prompt import parse_prompt_set, parse_seed_queries
from tasks.inputs.check_inputs import check_inputs
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_models import folder_model, resolve_model, resolve_models
from tasks.inputs.resolve_prompts import resolve_prompt, resolve_prompts

TURNS = "\n\n-----\n\nHuman: Who is Tim?\n\nAssistant: Tim is a boy.\n"
ROLES = ("small", "mid", "large", "reward", "policy")


def config(model: str, **changes: Any) -> RunConfig:
    content: dict[str, Any] = {
        "profile": "test",
        "models": dict.fromkeys(ROLES, model),
        "responders": [
            {"name": "A", "model": "large", "prompt": "faithful", "shots": 1},
            {"name": "B", "model": "small", "prompt": "hhh", "shots": 0},
        ],
        "mining": {"static_shots": 2, "dynamic_shots": 1, "max_new_tokens": 8},
        "sampling": {"max_new_tokens": 8},
        "self_play": {"assistant_shots": 1, "user_shots": 1, "max_new_tokens": 8, "user_max_new_tokens": 8},
        "as_is": {"enabled": False},
    }
    for name, section in changes.items():
        content[name] = content.get(name, {}) | section
    return config_from(content, "test")


@pytest.fixture
def prompts(tmp_path: Path) -> dict[str, str]:
    for name in ("hhh", "faithful", "user"):
        (tmp_path / f"{name}.txt").write_text("Be kind." + TURNS)
    (tmp_path / "seed_queries.txt").write_text("Who?\nWhere?\nWhy?\n")
    return {name: str(tmp_path / f"{name}.txt") for name in ("hhh", "faithful", "user", "seed_queries")}


def problem(action: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        action(*arguments)
    return str(raised.value)


# --- models -----------------------------------------------------------------------------------------------------


def test_a_folder_counts_by_its_weights_configuration_and_tokenizer(tmp_path: Path, tiny_model: ModelHandle):
    assert tiny_model.folder is not None
    here = folder_model("models.small", "here", Path(tiny_model.folder))
    copy = shutil.copytree(tiny_model.folder, tmp_path / "copy")
    (copy / "README.md").write_text("not part of the model")
    assert folder_model("models.small", "copy", copy).digest == here.digest
    digests = {here.digest}
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        changed = shutil.copytree(tiny_model.folder, tmp_path / name)
        (changed / name).write_bytes((changed / name).read_bytes() + b" ")
        digests.add(folder_model("models.small", name, changed).digest)
    assert len(digests) == 5


def test_a_folder_that_is_changed_in_place_is_another_model(tmp_path: Path, tiny_model: ModelHandle):
    assert tiny_model.folder is not None
    folder = shutil.copytree(tiny_model.folder, tmp_path / "model")
    before = folder_model("models.small", "model", folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert folder_model("models.small", "model", folder).digest != before.digest


def test_a_folder_is_taken_by_path_and_by_name(
    tmp_path: Path, tiny_model: ModelHandle, monkeypatch: pytest.MonkeyPatch
):
    assert tiny_model.folder is not None
    monkeypatch.chdir(Path(tiny_model.folder).parent)
    name = Path(tiny_model.folder).name
    handles = [resolve_model("models.small", source, {}) for source in (tiny_model.folder, f"./{name}", name)]
    assert len({(handle.digest, handle.folder) for handle in handles}) == 1


@pytest.mark.parametrize("source", ["/no/such/folder", "./no-such-folder", "~/no-such-folder"])
def test_a_missing_folder_is_named(source: str):
    assert problem(resolve_model, "models.mid", source, {}).startswith("models.mid: model folder ")
    assert "does not exist" in problem(check_inputs, config(source))


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_an_incomplete_folder_says_what_it_lacks(tmp_path: Path, tiny_model: ModelHandle, missing: str):
    assert tiny_model.folder is not None
    folder = shutil.copytree(tiny_model.folder, tmp_path / "model", ignore=shutil.ignore_patterns(missing))
    message = problem(resolve_model, "models.mid", str(folder), {})
    assert message.startswith(f"models.mid: model folder {folder} is incomplete, it lacks")
    assert missing.replace("model.", "*.") in message


def test_a_hub_model_that_cannot_be_fetched_is_told_in_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for source in ("nobody/no-such-model", "nobody/no-such-model@abc123"):
        message = problem(resolve_model, "models.large", source, {})
        assert message.startswith(f"models.large: '{source}' is no local folder and cannot be fetched from the Hub: ")
        assert "\n" not in message
        assert len(message) < 400


@pytest.mark.parametrize("source", ["a/b/c", "has spaces/x", "-x/y"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_told(source: str):
    assert f"'{source}' is no local folder" in problem(resolve_model, "models.large", source, {})


# --- prompts ----------------------------------------------------------------------------------------------------


def test_prompt_files_are_read_by_content(prompts: dict[str, str], tiny_model: ModelHandle):
    found = resolve_prompts(config(str(tiny_model.folder), prompts=prompts), None)
    assert found["hhh"].digest == found["user"].digest, "the same text is the same prompt"
    assert found["hhh"].source == prompts["hhh"]


def test_the_projects_own_prompts_have_the_papers_sizes():
    found = {name: resolve_prompt(name, "builtin", None) for name in ("hhh", "faithful", "user", "seed_queries")}
    sizes = {
        n: len(parse_prompt_set(n, p.text, p.source).conversations) for n, p in found.items() if n != "seed_queries"
    }
    assert sizes["hhh"] == 14
    assert sizes["faithful"] == 3
    assert sizes["user"] >= 3
    assert len(parse_seed_queries(found["seed_queries"].text, "seeds").queries) == 10


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("Be kind.\n", "no conversations"),
        ("", "no instruction"),
        ("Be kind.\n\n-----\n\nHuman: Hi\n", "has no 'Assistant:' turn"),
        ("Human: Hi\n\nAssistant: Yes.\n", "line 1 begins a conversation"),
    ],
)
@pytest.mark.parametrize("name", ["hhh", "faithful", "user"])
def test_a_broken_prompt_file_is_named(
    tmp_path: Path, prompts: dict[str, str], tiny_model: ModelHandle, name: str, content: str, part: str
):
    path = tmp_path / "broken.txt"
    path.write_text(content)
    for check in (check_inputs, lambda given: resolve_prompts(given, None)):
        message = problem(check, config(str(tiny_model.folder), prompts=prompts | {name: str(path)}))
        assert str(path) in message
        assert part in message


def test_a_prompt_file_that_cannot_be_read_names_the_field(tmp_path: Path, prompts: dict[str, str]):
    (tmp_path / "latin.txt").write_bytes("Sei höflich.".encode("latin-1"))
    for source in ("/no/such/file.txt", str(tmp_path), str(tmp_path / "latin.txt")):
        assert problem(resolve_prompt, "hhh", source, None).startswith(f"prompts.hhh: cannot read {source}")
    assert "no tiny world" in problem(resolve_prompt, "hhh", "world", None)


def test_too_few_seed_queries_are_counted(tmp_path: Path, prompts: dict[str, str], tiny_model: ModelHandle):
    given = config(str(tiny_model.folder), prompts=prompts, mining={"static_shots": 7, "dynamic_shots": 3})
    for check in (check_inputs, lambda given: resolve_prompts(given, None)):
        assert "has 3 queries, mining asks for 10 (mining.static_shots + mining.dynamic_shots)" in problem(check, given)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"self_play": {"assistant_shots": 2}}, "'faithful' has 1 conversations, but 2 shots"),
        ({"self_play": {"user_shots": 3}}, "'user' has 1 conversations, but 3 shots"),
    ],
)
def test_too_few_shots_are_told_before_any_work(
    prompts: dict[str, str], tiny_model: ModelHandle, changes: dict[str, Any], part: str
):
    assert part in problem(check_inputs, config(str(tiny_model.folder), prompts=prompts, **changes))


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({"sampling": {"max_new_tokens": 250}}, r"responder A (faithful with 1 shots, models.large): the prompt has "),
        ({"self_play": {"max_new_tokens": 250}}, "self-play assistant (faithful with 1 shots, models.large)"),
        ({"self_play": {"user_max_new_tokens": 250}}, "self-play user (user with 1 shots, models.large)"),
        ({"mining": {"max_new_tokens": 250}}, "mining (2 static shots, models.large)"),
    ],
)
def test_a_prompt_that_leaves_no_room_is_told_with_both_lengths(
    prompts: dict[str, str], tiny_model: ModelHandle, changes: dict[str, Any], who: str
):
    message = problem(check_inputs, config(str(tiny_model.folder), prompts=prompts, **changes))
    assert message.startswith(who)
    assert "asks for 250 new ones, but the model's context holds 256" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_model_folder_with_a_broken_file_is_told_in_one_line(
    tmp_path: Path, prompts: dict[str, str], tiny_model: ModelHandle, name: str
):
    folder = shutil.copytree(str(tiny_model.folder), tmp_path / "model")
    (folder / name).write_text('{"half": ')
    message = problem(check_inputs, config(str(folder), prompts=prompts))
    assert message.startswith(f"model folder {folder}: cannot read")
    assert "\n" not in message


def test_lengths_are_those_the_engine_counts(tiny_model: ModelHandle):
    from transformers import AutoTokenizer

    from tasks.inputs.check_prompts import _tokens

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model.folder))
    for text in ("Be kind.\n\n-----\n\nHuman: Who is Tim?", "", "Überfluß 这是什么"):
        expected = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert _tokens(Path(str(tiny_model.folder)), text) == expected


def test_an_engine_that_cannot_be_opened_is_told_before_any_work(prompts: dict[str, str], tiny_model: ModelHandle):
    nowhere = {"kind": "vllm", "server_executable": "/nowhere/vllm"}
    message = problem(check_inputs, config(str(tiny_model.folder), prompts=prompts, engine=nowhere))
    assert message.startswith("engine.server_executable: /nowhere/vllm does not exist")
    message = problem(check_inputs, config(str(tiny_model.folder), prompts=prompts, engine={"kind": "openai"}))
    assert message.startswith("engine.kind 'openai' needs engine.base_url")


def test_a_model_goes_where_the_placement_table_puts_it(tiny_model: ModelHandle):
    placed = config(str(tiny_model.folder), placement={"models": {"large": {"gpus": [0, 1]}}})
    models = resolve_models(placed, {})
    assert (models["large"].placed.gpus, models["large"].placed.copy_gpus) == ((0, 1), 2)
    assert models["mid"].placed.gpus == ()
    assert models["large"].key_identity() == models["mid"].key_identity(), "placement enters no key"


def test_what_fits_passes(prompts: dict[str, str], tiny_model: ModelHandle):
    check_inputs(config(str(tiny_model.folder), prompts=prompts))


# --- data files -------------------------------------------------------------------------------------------------


def test_files_are_found_or_named_by_their_field(tmp_path: Path, prompts: dict[str, str], tiny_model: ModelHandle):
    path = tmp_path / "pairs.jsonl"
    path.write_text("{}\n")
    handle = resolve_file("as_is.pairs_file", os.path.relpath(path))
    assert (handle.name, handle.path) == ("pairs.jsonl", str(path))
    model = str(tiny_model.folder)
    for section, content in (
        ("as_is", {"enabled": True, "pairs_file": "/no/x.jsonl"}),
        ("evaluation", {"preference_files": ["/no/x.jsonl"]}),
        ("evaluation", {"overlap_files": ["/no/x.jsonl"]}),
    ):
        field = f"{section}.{next(name for name in content if name != 'enabled')}"
        message = problem(check_inputs, config(model, prompts=prompts, **{section: content}))
        assert message == f"{field}: file /no/x.jsonl does not exist; check the path"


def test_the_as_is_veto_needs_pairs_outside_the_tiny_world(prompts: dict[str, str], tiny_model: ModelHandle):
    given = config(str(tiny_model.folder), prompts=prompts, as_is={"enabled": True})
    assert "as_is.enabled needs as_is.pairs_file" in problem(check_inputs, given)
