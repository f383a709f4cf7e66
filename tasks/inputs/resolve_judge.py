"""From what a profile says of A/B tests to handles: the judge, its prompt, and the file of questions."""

from pathlib import Path

from data_contracts.config.engine import EngineKind
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.config.run_config import RunConfig
from data_contracts.config.world import GoldJudgeSource
from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle, JudgeHandle, ModelHandle, PromptHandle
from models.evaluation.benchmarks.prompt_template import builtin_template, parse_template
from models.evaluation.judging.judge_questions import FIELD, JUDGE_PLACEHOLDERS, questions_of
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_models import resolve_model

MODEL, PROMPT = "evaluation.judge.model", "evaluation.judge.prompt"


def resolve_questions(judging: JudgeSettings) -> FileHandle | None:
    """The file of questions; None for the tiny world's own."""
    return resolve_file(FIELD, judging.questions_file) if judging.questions_file else None


def resolve_judge(config: RunConfig) -> JudgeHandle:
    """Who judges the A/B tests of a profile: a model, or the tiny world's judge.

    Raises:
        ConfigError: the profile has no tiny world, or the model is missing.
    """
    if config.evaluation.judge.kind == "model":
        return resolve_judge_model(config.evaluation.judge)
    if config.world is None:
        raise ConfigError("evaluation.judge.kind 'gold' needs the tiny world; use 'model', or 'none'")
    return GoldJudgeSource(world=config.world, world_seed=config.seeds.world)


def resolve_judge_model(judging: JudgeSettings) -> ModelHandle:
    """The judging model. Behind a chat server it counts by its name there.

    Raises:
        ConfigError: no model is named, or its folder is missing.
    """
    if judging.endpoint == "chat":
        name = (judging.engine and judging.engine.served_model) or judging.model
        if not name:
            raise ConfigError(
                f"{MODEL} is empty; evaluation.judge.endpoint 'chat' needs the model's name at the server"
            )
        return ModelHandle(name=name, digest=f"chat:{name}")
    if not judging.model:
        raise ConfigError(f"{MODEL} is empty; evaluation.judge.kind 'model' needs a folder or a Hub id")
    return resolve_model(MODEL, judging.model, {})


def resolve_judge_prompt(judging: JudgeSettings) -> PromptHandle:
    """The judge's prompt, by content."""
    path = Path(judging.prompt).expanduser() if judging.prompt else builtin_template("judge")
    try:
        handle = PromptHandle.read("judge", path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PROMPT}: cannot read {path}: {error}") from error
    parse_template(f"{PROMPT}: {path}", handle.text, JUDGE_PLACEHOLDERS, options=0)
    return handle


def check_judge(config: RunConfig) -> None:
    """Check everything an A/B test of this profile needs, before a run begins.

    Raises:
        ConfigError: a file, a model or the world is missing or wrong.
    """
    judging = config.evaluation.judge
    if judging.kind == "none":
        return
    resolve_judge(config)
    resolve_judge_prompt(judging)
    engine = judging.engine or config.engine
    if judging.kind == "model" and (engine.kind is EngineKind.VLLM or engine.server_executable):
        raise ConfigError(
            "evaluation.judge.engine: no server is started for a judge; start one, and give evaluation.judge.engine "
            "kind 'openai' and its base_url"
        )
    if judging.kind == "model" and judging.endpoint == "chat" and engine.kind is not EngineKind.OPENAI:
        raise ConfigError(
            "evaluation.judge.endpoint 'chat' needs evaluation.judge.engine with kind 'openai' and a base_url"
        )
    if judging.kind == "model" and engine.kind is EngineKind.OPENAI and not engine.base_url:
        raise ConfigError("evaluation.judge.engine: kind 'openai' needs base_url, e.g. http://127.0.0.1:8000/v1")
    file = resolve_questions(judging)
    if file is not None:
        questions_of(Path(file.path))
    elif config.world is None:
        raise ConfigError(f"{FIELD} is empty; outside the tiny world A/B tests need a file of questions")
