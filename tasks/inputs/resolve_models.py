"""Models as handles: a tiny:NAME of the ladder, a local folder, or a Hub id, known by the digest of their files."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from data_contracts.config.placement import ModelPlacement
from data_contracts.config.run_config import TINY_PREFIX, RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import VanillaCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.store.keys import file_digest
from data_contracts.store.manifest import Part, content_digest
from data_contracts.store.stored import Folder
from models.hub import MODEL_FILES, fetch_model, hub_errors
from tasks.runtime.loaded_models import as_model


def resolve_models(config: RunConfig, ladder: Mapping[str, Folder[VanillaCheckpoint]]) -> dict[str, ModelHandle]:
    """Role -> handle of every model the profile names, each where the placement table puts it."""
    return {
        role: resolve_model(f"models.{role}", source, ladder).model_copy(
            update={"placed": config.placement.models.get(role, ModelPlacement())}  # type: ignore[call-overload]
        )
        for role, source in config.models.named().items()
    }


def resolve_model(field: str, source: str, ladder: Mapping[str, Folder[VanillaCheckpoint]]) -> ModelHandle:
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


def local_folders(config: RunConfig) -> dict[str, Path]:
    """Role -> folder, of the models that are folders on this machine."""
    sources = config.models.named().items()
    return {role: Path(source).expanduser() for role, source in sources if _is_folder(source)}


def _is_folder(source: str) -> bool:
    return not source.startswith(TINY_PREFIX) and (source.startswith((".", "/", "~")) or Path(source).is_dir())
