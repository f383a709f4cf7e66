"""Bad input on the command line: exit code 2, one line that says what and where, nothing written to the home."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("ALMOST_DATA", ROOT / "../shared/data"))
REAL_WEIGHTS = DATA / "weights" / "stories260K"
needs_data = pytest.mark.skipif(not REAL_WEIGHTS.is_dir(), reason=f"{REAL_WEIGHTS} is not there (set ALMOST_DATA)")
TURNS = "\n\n-----\n\nHuman: Who is Tim?\n\nAssistant: Tim is a boy.\n"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def almost(*arguments: str, prefect: bool = False, **environment: str) -> Ended:
    """Run the command line. Unless `prefect`, its server is unreachable: the mistake must be found before it is asked."""
    command = [sys.executable, "-m", "deployments.cli.command_line", *arguments]
    blocked = {} if prefect else {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **settings, **blocked, **environment}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def complaint(ended: Ended) -> str:
    """The one line of a command that was refused for the user's input."""
    assert ended.code == 2, (ended.code, ended.out[-2000:], ended.err[-4000:])
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err[-4000:]
    assert lines[0].startswith("almost: ")
    assert "Traceback" not in ended.out + ended.err
    return lines[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def refused(home: Path, *arguments: str) -> str:
    """What `almost run` says of a mistake that it finds before anything is made."""
    line = complaint(almost("run", "--home", str(home), *arguments))
    assert not home.exists(), sorted(home.rglob("*"))
    return line


def profile(tmp_path: Path, **changes: object) -> str:
    """A profile on the real weights, with some sections replaced."""
    prompts = {}
    for name in ("hhh", "faithful", "user"):
        prompts[name] = str(tmp_path / f"{name}.txt")
        Path(prompts[name]).write_text("Be kind." + TURNS)
    prompts["seed_queries"] = str(tmp_path / "seeds.txt")
    Path(prompts["seed_queries"]).write_text("Who is Tim?\nWhere is the sea?\nWhat do birds eat?\n")
    content: dict[str, object] = {
        "models": dict.fromkeys(("small", "mid", "large", "reward", "policy"), str(REAL_WEIGHTS)),
        "prompts": prompts,
        "responders": [
            {"name": "A", "model": "large", "prompt": "faithful", "shots": 1},
            {"name": "B", "model": "small", "prompt": "hhh", "shots": 0},
        ],
        "mining": {"queries": 2, "static_shots": 2, "dynamic_shots": 1, "max_new_tokens": 16, "rouge_l": 1.0},
        "sampling": {"max_new_tokens": 8},
        "as_is": {"enabled": False},
        "self_play": {"assistant_shots": 1, "user_shots": 1, "max_new_tokens": 8, "user_max_new_tokens": 8},
    }
    for name, section in changes.items():
        old = content.get(name)
        content[name] = old | section if isinstance(old, dict) and isinstance(section, dict) else section
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


# --- profiles, settings, options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--profile", "smoky"], ["unknown profile 'smoky'", "known:", "smoke"]),
        (["--profile", "absent.yaml"], ["absent.yaml", "does not exist"]),
        (["--profile", "smoke", "--set", "minning.queries=3"], ["unknown section 'minning'", "known:"]),
        (["--profile", "smoke", "--set", "mining.querys=3"], ["mining.querys", "no such field"]),
        (["--profile", "smoke", "--set", "mining.queries=many"], ["mining.queries", "'many'"]),
        (["--profile", "smoke", "--set", "mining.queries=0"], ["mining.queries", "greater than or equal to 1"]),
        (["--profile", "smoke", "--set", "mining.queries"], ["expected section.field=value"]),
        (["--profile", "smoke", "--until", "lunch"], ["--until lunch", "known: world, queries"]),
        (["--profile", "smoke", "--from", "lunch"], ["--from lunch", "known: world, queries"]),
        (["--profile", "smoke", "--from", "policy", "--until", "queries"], ["--from policy", "--until queries"]),
        (["--profile", "smoke", "--set", "models.small=/no/such/folder"], ["models.small", "/no/such/folder"]),
        (["--profile", "smoke", "--set", "as_is.pairs_file=/no/file.jsonl"], ["as_is.pairs_file", "/no/file.jsonl"]),
        (["--profile", "smoke", "--set", "prompts.hhh=/no/file.txt"], ["prompts.hhh", "/no/file.txt"]),
        (["--profile", "smoke", "--set", "evaluation.overlap_files=[/no/x.csv]"], ["overlap_files", "/no/x.csv"]),
        (["--profile", "smoke", "--set", "placement.approval=true"], ["placement.approval", "almost/full"]),
        (["--profile", "smoke", "--use", "lunch=a.txt"], ["--use lunch=a.txt", "NAME is queries"]),
        (["--profile", "smoke", "--use", "queries"], ["--use queries", "expected NAME=FILE"]),
        (["--profile", "smoke", "--use", "queries=/no/own.txt"], ["use.queries", "/no/own.txt"]),
        (["--profile", "smoke", "--use", "queries=hub:own?x=1"], ["use.queries", "unknown option 'x'"]),
        (["--profle", "smoke"], ["--profle"]),
        (["smoke"], ["smoke"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_option_is_told_in_one_line(home: Path, arguments: list[str], parts: list[str]):
    line = refused(home, *arguments)
    for part in parts:
        assert part in line


@pytest.mark.parametrize("arguments", [["ran"], ["run", "--home"], ["serve", "--port", "many"]])
def test_a_wrong_command_is_told_in_one_line(arguments: list[str]):
    assert "--help" in complaint(almost(*arguments))


def test_a_home_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    for home in (str(tmp_path / "file" / "home"), "/proc/none/home"):
        line = complaint(almost("run", "--profile", "smoke", "--home", home))
        assert f"cannot write to {home}" in line
        assert "--home" in line
    assert "cannot open the store" in complaint(almost("run", "--profile", "smoke", "--home", "nothing://bucket"))


def test_the_home_of_the_environment_is_checked_too(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    line = complaint(almost("run", "--profile", "smoke", ALMOST_HOME=str(tmp_path / "file")))
    assert "cannot write to" in line


# --- models and prompts -----------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_an_incomplete_model_folder_is_named(tmp_path: Path, home: Path, missing: str):
    folder = tmp_path / "model"
    shutil.copytree(REAL_WEIGHTS, folder, ignore=shutil.ignore_patterns(missing))
    if missing == "model.safetensors":
        (folder / "pytorch_model.bin").write_bytes(b"")
    line = refused(home, "--profile", profile(tmp_path, models={"mid": str(folder)}))
    assert f"models.mid: model folder {folder} is incomplete, it lacks" in line
    assert missing.replace("model.", "*.") in line
    assert ("convert them to safetensors" in line) == (missing == "model.safetensors")


@needs_data
def test_a_prompt_file_without_conversations_is_named(tmp_path: Path, home: Path):
    path = tmp_path / "bare.txt"
    path.write_text("Be kind.\n")
    line = refused(home, "--profile", profile(tmp_path, prompts={"user": str(path)}))
    assert f"{path}: no conversations" in line


@needs_data
def test_too_few_shots_or_seeds_are_told_before_any_work(tmp_path: Path, home: Path):
    line = refused(home, "--profile", profile(tmp_path), "--set", "responders.0.shots=4")
    assert "'faithful' has 1 conversations, but 4 shots" in line
    line = refused(home, "--profile", profile(tmp_path), "--set", "mining.static_shots=7")
    assert "seeds.txt has 3 queries, mining asks for 8" in line


@needs_data
@pytest.mark.parametrize(
    ("prompts", "who"),
    [("faithful", "responder A (faithful with 1 shots, models.large)"), ("user", "self-play user (user with 1 shots")],
)
def test_a_prompt_longer_than_the_models_context_is_named_with_both_lengths(
    tmp_path: Path, home: Path, prompts: str, who: str
):
    path = tmp_path / "long.txt"
    path.write_text("Be kind.\n\n-----\n\nHuman: Who is Tim?\n\nAssistant: " + "Tim is a little boy. " * 150)
    line = refused(home, "--profile", profile(tmp_path, prompts={prompts: str(path)}))
    assert who in line
    assert "context holds 512" in line
    tokens = int(line.split(" has ")[1].split()[0])
    assert tokens > 600
    assert "use fewer or shorter shots" in line


@needs_data
@pytest.mark.flow
def test_a_model_that_is_neither_a_folder_nor_on_the_hub_is_told_in_one_line(tmp_path: Path, home: Path):
    ended = almost(
        "run",
        "--profile",
        profile(tmp_path, models={"large": "nobody/no-such-model"}),
        "--home",
        str(home),
        prefect=True,
    )
    line = complaint(ended)
    assert "models.large: 'nobody/no-such-model' is no local folder and cannot be fetched from the Hub" in line
    assert_nothing_half_written(home)


# --- mistakes that only the run can find ------------------------------------------------------------------------


def assert_nothing_half_written(home: Path) -> None:
    """No artifact without a manifest; parts of an unfinished step are only there with their receipts."""
    for folder in home.glob("*@*/*"):
        parts = [path for path in folder.rglob("*") if path.is_file() and path.name.startswith("part-")]
        if not (folder / "manifest.json").exists():
            assert len(parts) == len(list(folder.glob("receipts/*.json"))), folder
    assert not [path for path in home.rglob(".*") if path.is_file()], "a temporary file was left behind"


@needs_data
@pytest.mark.flow
def test_no_conversation_left_after_filtering(tmp_path: Path, home: Path):
    """Every response holds a 'refusal', as single letters count as ones."""
    path = profile(tmp_path, filter={"refusals": list("aeiou.,!?")}, mining={"max_attempts_per_query": 20})
    ended = almost("run", "--profile", path, "--home", str(home), prefect=True)
    line = complaint(ended)
    assert "none of 2 comparisons is left (" in line
    assert "refusal" in line
    assert "loosen filter.*" in line
    assert_nothing_half_written(home)
    assert list(home.glob("responses@1/*/manifest.json")), "what was made before stays"
    (comparisons,) = home.glob("comparisons@1/*/manifest.json")
    assert "rank_comparisons" in comparisons.read_text()
    assert not (home / "runs" / "latest").exists(), "a failed run is not the newest finished one"
