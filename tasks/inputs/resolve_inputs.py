"""From what a profile names to handles by content: models, prompt files, data files. Run before any work.

Everything a person can get wrong here ends in a ConfigError that names the field, what was found and what to do.
"""

import os
from functools import cache
from pathlib import Path

from data_contracts.config.placement import ModelPlacement, Target
from data_contracts.config.run_config import TINY_PREFIX, RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import Checkpoint, PromptFiles
from data_contracts.model_handle import FileHandle, ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.keys import file_digest
from data_contracts.store.manifest import Part, content_digest
from models.engines import check_engine
from models.hub import MODEL_FILES, fetch_model, hub_errors
from models.prompts.few_shot_prompt import BUILTIN_PROMPTS
from tasks.inputs.check_prompts import check_prompts
from tasks.inputs.fetch_dataset import HUB, fetch_dataset
from tasks.runtime.flow_log import started_by_worker
from tasks.runtime.loaded_models import as_model
from tasks.runtime.step_context import active_store
from tasks.runtime.training_tracker import check_tracker


def resolve_models(config: RunConfig, ladder: dict[str, Artifact[Checkpoint]]) -> dict[str, ModelHandle]:
    """Role -> handle of every model the profile names, each where the placement table puts it."""
    return {
        role: resolve_model(f"models.{role}", source, ladder).model_copy(
            update={"placed": config.placement.models.get(role, ModelPlacement())}  # type: ignore[call-overload]
        )
        for role, source in config.models.named().items()
    }


def resolve_model(field: str, source: str, ladder: dict[str, Artifact[Checkpoint]]) -> ModelHandle:
    """A profile's model source as a handle: `tiny:NAME` from the ladder, a local folder, or a Hub id.

    Raises:
        ConfigError: the folder is missing or incomplete, the Hub cannot be reached, or the name is unknown.
    """
    if source.startswith(TINY_PREFIX):
        return as_model(source, ladder[source.removeprefix(TINY_PREFIX)])
    if _is_folder(source):
        return folder_model(field, source, Path(source).expanduser())
    return _hub_model(field, source)


def folder_model(field: str, name: str, folder: Path) -> ModelHandle:
    """A local Hugging Face folder, identified by the hashes of weights, configuration and tokenizer."""
    require_model_files(field, folder)
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    parts = [Part(name=path.name, sha256=_digest(path, path.stat().st_mtime_ns), bytes=0, rows=0) for path in files]
    return ModelHandle(name=name, digest=content_digest("model", parts), folder=str(folder.absolute()))


@cache
def _digest(path: Path, _mtime_ns: int) -> str:
    """A file's digest, computed once per process: several roles may name one folder of many gigabytes."""
    return file_digest(path)


def require_model_files(field: str, folder: Path) -> None:
    """Raise ConfigError unless the folder holds a configuration, a tokenizer and safetensors weights."""
    if not folder.is_dir():
        raise ConfigError(f"{field}: model folder {folder} does not exist; give a folder or a Hub id")
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")):
        pickled = " (it has pickled weights: convert them to safetensors)" if list(folder.glob("*.bin")) else ""
        missing.append(f"*.safetensors{pickled}")
    if missing:
        raise ConfigError(f"{field}: model folder {folder} is incomplete, it lacks {', '.join(missing)}; copy it again")


def _hub_model(field: str, source: str) -> ModelHandle:
    """A Hub model at a resolved commit; `id@revision` pins one. Only safetensors are fetched."""
    try:
        folder = fetch_model(source)
    except hub_errors() as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ConfigError(
            f"{field}: '{source}' is no local folder and cannot be fetched from the Hub: {reason}; "
            "check the name and the network, or give a folder"
        ) from error
    return folder_model(field, f"{source.partition('@')[0]}@{folder.name}", folder)


def resolve_prompts(config: RunConfig, world_prompts: Artifact[PromptFiles] | None) -> dict[str, PromptHandle]:
    """The four prompt files, parsed once so that a broken one stops the run before any work."""
    prompts = {
        name: resolve_prompt(name, source, world_prompts) for name, source in config.prompts.model_dump().items()
    }
    check_prompts(config, prompts, local_folders(config))
    return prompts


def local_folders(config: RunConfig) -> dict[str, Path]:
    """Role -> folder, of the models that are folders on this machine."""
    sources = config.models.named().items()
    return {role: Path(source).expanduser() for role, source in sources if _is_folder(source)}


def _is_folder(source: str) -> bool:
    return not source.startswith(TINY_PREFIX) and (source.startswith((".", "/", "~")) or Path(source).is_dir())


def resolve_prompt(name: str, source: str, world_prompts: Artifact[PromptFiles] | None) -> PromptHandle:
    """One prompt file: `world`, `builtin`, or a path."""
    match source:
        case "world":
            if world_prompts is None:
                raise ConfigError(f"prompts.{name} is 'world', but this profile has no tiny world")
            path = active_store().local_folder(world_prompts) / f"{name}.txt"
            return PromptHandle.read(name, path).model_copy(update={"source": f"tiny world's {name}.txt"})
        case "builtin":
            path = BUILTIN_PROMPTS / f"{name}.txt"
            return PromptHandle.read(name, path).model_copy(update={"source": f"models/prompts/{name}.txt"})
        case _:
            path = Path(source).expanduser()
            try:
                return PromptHandle.read(name, path)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"prompts.{name}: cannot read {path}: {error}") from error


def resolve_file(field: str, source: str) -> FileHandle:
    """A data file by content; `hub:...` names a dataset (see `fetch_dataset`)."""
    path = fetch_dataset(field, source) if source.startswith(HUB) else Path(source).expanduser()
    if not path.is_file():
        raise ConfigError(f"{field}: file {source} does not exist; check the path")
    return FileHandle(name=path.name, digest=file_digest(path), path=os.path.abspath(path))


def _generating(config: RunConfig) -> set[str]:
    """Roles of the models that write text; the policy does so in the evaluation of the tiny world."""
    play = config.self_play
    roles = {responder.model for responder in config.responders}
    roles |= {config.mining.model, play.assistant_model, play.user_model}
    return roles | ({"policy"} if config.world is not None else set())


def check_inputs(config: RunConfig) -> None:
    """Check every path of a configuration before the first step: models, prompt files, data files."""
    if config.placement.approval and not started_by_worker():
        raise ConfigError(
            "placement.approval waits for a person in the Prefect UI: start the run as deployment almost/full "
            "(almost serve), or leave it off"
        )
    generating = {role: source for role, source in config.models.named().items() if role in _generating(config)}
    here = config.placement.heavy is Target.INLINE
    check_engine(config.engine, generating, config.placement.models, here)
    if here:
        check_tracker(config.training.report_to)
    folders = local_folders(config)
    for role, folder in folders.items():
        require_model_files(f"models.{role}", folder)
    prompts = {
        name: resolve_prompt(name, source, None)
        for name, source in config.prompts.model_dump().items()
        if source != "world"
    }
    check_prompts(config, prompts, folders)
    if config.as_is.enabled and config.as_is.pairs_file:
        resolve_file("as_is.pairs_file", config.as_is.pairs_file)
    elif config.as_is.enabled and config.world is None:
        raise ConfigError(
            "as_is.enabled needs as_is.pairs_file outside the tiny world; set as_is.enabled=false to do without"
        )
    if config.use.queries is not None:
        resolve_file("use.queries", config.use.queries)
    from tasks.inputs.resolve_benchmarks import resolve_benchmarks  # they resolve files as this module does
    from tasks.inputs.resolve_judge import check_judge

    resolve_benchmarks(config.evaluation.benchmarks)
    check_judge(config)
    for field in ("preference_files", "overlap_files"):
        for file in getattr(config.evaluation, field):
            resolve_file(f"evaluation.{field}", file)
