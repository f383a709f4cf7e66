"""Every path and model that a configuration names, checked before the first step."""

from data_contracts.config.placement import Target
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from models.engines import check_engine
from tasks.inputs.check_prompts import check_prompts
from tasks.inputs.resolve_benchmarks import resolve_benchmarks
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_judge import check_judge
from tasks.inputs.resolve_models import local_folders, require_model_files
from tasks.inputs.resolve_prompts import resolve_prompt
from tasks.runtime.flow_log import started_by_worker
from tasks.runtime.training_tracker import check_tracker


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
    resolve_benchmarks(config.evaluation.benchmarks)
    check_judge(config)
    for field in ("preference_files", "overlap_files"):
        for file in getattr(config.evaluation, field):
            resolve_file(f"evaluation.{field}", file)
