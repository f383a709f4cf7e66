"""Prompt files as handles: the tiny world's, the project's own, or a path."""

from pathlib import Path

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import PromptFiles
from data_contracts.handles import PromptHandle
from data_contracts.store.stored import Folder
from models.prompts.few_shot_prompt import BUILTIN_PROMPTS
from tasks.inputs.check_prompts import check_prompts
from tasks.inputs.resolve_models import local_folders


def resolve_prompts(config: RunConfig, world_prompts: Folder[PromptFiles] | None) -> dict[str, PromptHandle]:
    """The four prompt files, parsed once so that a broken one stops the run before any work."""
    prompts = {
        name: resolve_prompt(name, source, world_prompts) for name, source in config.prompts.model_dump().items()
    }
    check_prompts(config, prompts, local_folders(config))
    return prompts


def resolve_prompt(name: str, source: str, world_prompts: Folder[PromptFiles] | None) -> PromptHandle:
    """One prompt file: `world`, `builtin`, or a path."""
    match source:
        case "world":
            if world_prompts is None:
                raise ConfigError(f"prompts.{name} is 'world', but this profile has no tiny world")
            path = world_prompts.local() / f"{name}.txt"
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
