"""The checks of `almost doctor`: each looks at one thing and says what it found and, if need be, what to do."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from data_contracts.config.profiles import load_profile, profile_names
from data_contracts.errors import AlmostError
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import import_settings

LOCK = Path(__file__).with_name("requirements.lock")  # a link to the one in the root; the wheel has a copy
PYTHONS = ((3, 11), (3, 12), (3, 13))
NETWORK_S, IMPORT_S = 4.0, 90.0
GIB = 2**30
LEAST_MEMORY_GIB, LEAST_DISK_GIB = 4.0, 2.0


class Status(StrEnum):
    """What a check says; only BROKEN makes the doctor's exit code 1."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; `advice` says what to do, where something is to be done."""

    status: Status
    found: str
    advice: str = ""


def check_python(_home: str) -> Finding:
    """A supported interpreter."""
    found = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] in PYTHONS:
        return Finding(Status.OK, found)
    return Finding(Status.BROKEN, found, "use Python 3.11, 3.12 or 3.13: make setup PYTHON=/path/to/python3.12")


def check_packages(_home: str) -> Finding:
    """Installed versions against requirements.lock."""
    if not LOCK.is_file():
        return Finding(Status.NOTE, f"no {LOCK.name}", "take the file from the repository")
    pins = _pins(LOCK.read_text(encoding="utf-8"))
    missing, other = [], []
    for name, pinned in pins:
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found.split("+")[0] != pinned.split("+")[0]:
            other.append(f"{name} {found} (locked {pinned})")
    if missing:
        return Finding(Status.BROKEN, f"missing: {', '.join(missing[:6])}", f"pip install -r {LOCK}")
    if other:
        found = f"{len(other)} of {len(pins)} differ: {', '.join(other[:4])}"
        return Finding(Status.NOTE, found, f"pip install -r {LOCK} gives the versions that were tested together")
    return Finding(Status.OK, f"{len(pins)} packages as in {LOCK.name}")


def _pins(lock: str) -> list[tuple[str, str]]:
    """Name and version of every line of a lock whose environment marker holds here."""
    lines = (line.strip() for line in lock.splitlines())
    required = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return [
        (requirement.name, next(iter(requirement.specifier)).version)
        for requirement in required
        if requirement.marker is None or requirement.marker.evaluate()
    ]


def check_torch(_home: str) -> Finding:
    """PyTorch, and which GPUs it sees."""
    import torch

    if not torch.cuda.is_available():
        return Finding(Status.OK, f"torch {torch.__version__}, no GPU: profiles smoke and tiny run on the CPU")
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    shown = ", ".join(f"{card.name} {card.total_memory / GIB:.0f} GiB" for card in cards)
    return Finding(Status.OK, f"torch {torch.__version__}, CUDA {torch.version.cuda}: {shown}")


def check_compiler(_home: str) -> Finding:
    """Compiler and ninja, for DeepSpeed operators that are built on first use."""
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    ninja = shutil.which("ninja") or shutil.which("ninja", path=str(Path(sys.executable).parent))
    lacking = [name for name, path in (("a C++ compiler", compiler), ("ninja", ninja)) if path is None]
    if not lacking:
        return Finding(Status.OK, f"{compiler}, {ninja}")
    advice = "only ZeRO with CPU offload on a GPU builds an operator; install them for that"
    return Finding(Status.NOTE, f"no {' and no '.join(lacking)}", advice)


def check_deepspeed(_home: str) -> Finding:
    """DeepSpeed imports and its process group starts; in a process of its own, as jobs do."""
    code = (
        "from data_contracts.config.training import TrainingSettings as S; from models.distributed.deepspeed_config import *; "
        "prepare_distributed(S(zero_stage=2)); import deepspeed, torch.distributed as d; "
        "print(deepspeed.__version__, d.get_backend())"
    )
    environment = {**os.environ, **import_settings(), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=IMPORT_S, check=False
    )
    if done.returncode == 0:
        number, backend = done.stdout.split()[-2:]
        return Finding(Status.OK, f"deepspeed {number}, process group over {backend}")
    problem = (done.stderr.strip().splitlines() or ["no output"])[-1][:160]
    return Finding(Status.NOTE, problem, "training.zero_stage 1 to 3 will fail; plain training works")


def check_machine(home: str) -> Finding:
    """Cores, memory and disk."""
    memory = psutil.virtual_memory()
    folder = Path(home) if "://" not in home else Path.cwd()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    found = (
        f"{os.cpu_count()} cores, {memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB memory free, "
        f"{free:.1f} GiB disk free at {folder}"
    )
    if free < LEAST_DISK_GIB:
        return Finding(Status.BROKEN, found, f"free {LEAST_DISK_GIB:.0f} GiB, or set ALMOST_HOME to another disk")
    if memory.available / GIB < LEAST_MEMORY_GIB:
        return Finding(Status.NOTE, found, f"profile smoke wants {LEAST_MEMORY_GIB:.0f} GiB; end other programs")
    return Finding(Status.OK, found)


def check_store(home: str) -> Finding:
    """An object can be written, read, written only once, and deleted."""
    store = Store(home)
    name = f"scratch/doctor-{uuid.uuid4().hex}"
    try:
        first, second = store.backend.put_new(name, b"probe"), store.backend.put_new(name, b"other")
        content = store.backend.read_bytes(name)
    finally:
        store.backend.delete(name)
    if content != b"probe" or not first or second:
        advice = "use another store: a second writer must not be able to replace a manifest"
        return Finding(Status.BROKEN, f"{home} does not keep the first of two conditional writes", advice)
    return Finding(Status.OK, f"{home} can be read and written")


def check_prefect(_home: str) -> Finding:
    """The Prefect API of this environment."""
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    found = f"prefect {version('prefect')}"
    if not url:
        return Finding(Status.OK, f"{found}; no API set: a run starts its own (almost serve starts one with a UI)")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=NETWORK_S):
            return Finding(Status.OK, f"{found}; {url} answers")
    except urllib.error.HTTPError as error:
        advice = "check PREFECT_API_KEY or the address" if error.code in (401, 403) else "check the address"
        return Finding(Status.NOTE, f"{found}; {url} answers {error.code}", advice)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Finding(Status.BROKEN, f"{url}: {reason}", "start it (almost serve), or unset PREFECT_API_URL")


def check_profiles(_home: str) -> Finding:
    """Every profile of the project is valid."""
    broken = []
    for name in profile_names():
        try:
            load_profile(name)
        except AlmostError as error:
            broken.append(str(error))
    if broken:
        return Finding(Status.BROKEN, "; ".join(broken), "correct the file under deployments/profiles/")
    return Finding(Status.OK, ", ".join(profile_names()))


def check_prompts(_home: str) -> Finding:
    """The project's own prompt files parse."""
    from models.prompts.few_shot_prompt import parse_prompt_set, parse_seed_queries
    from tasks.inputs.resolve_prompts import resolve_prompt

    shown = []
    for name in ("hhh", "faithful", "user", "seed_queries"):
        handle = resolve_prompt(name, "builtin", None)
        if name == "seed_queries":
            shown.append(f"{len(parse_seed_queries(handle.text, handle.source).queries)} seed queries")
        else:
            shown.append(f"{len(parse_prompt_set(name, handle.text, handle.source).conversations)} {name}")
    return Finding(Status.OK, ", ".join(shown))


def check_hub(_home: str) -> Finding:
    """The model hub, which only profiles with Hub models need."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return Finding(Status.OK, "offline, as HF_HUB_OFFLINE asks; local folders, cached and tiny models work")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=NETWORK_S):
            return Finding(Status.OK, f"{endpoint} answers")
    except urllib.error.HTTPError as error:
        return Finding(Status.OK, f"{endpoint} answers {error.code}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        advice = "only profiles with Hub models need it; local folders and tiny models work"
        return Finding(Status.NOTE, f"{endpoint}: {getattr(error, 'reason', error)}", advice)


CHECKS: dict[str, Callable[[str], Finding]] = {
    "Python": check_python,
    "packages": check_packages,
    "torch and GPUs": check_torch,
    "DeepSpeed": check_deepspeed,
    "compiler": check_compiler,
    "machine": check_machine,
    "store": check_store,
    "Prefect": check_prefect,
    "profiles": check_profiles,
    "prompt files": check_prompts,
    "model hub": check_hub,
}
