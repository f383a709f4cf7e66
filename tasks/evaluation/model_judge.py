"""A language model as judge: a local one, or one behind a completions or chat server."""

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.handles import ModelHandle
from models.engines.protocol import SamplingSettings
from models.evaluation.judging.chat_judge import open_chat_judge
from models.evaluation.judging.judges import EngineJudge, Judge, open_judge
from tasks.runtime.context import at_end
from tasks.runtime.loaded_models import LazyEngine

SERVER_ROWS = 8  # replies of a server that may be in flight when the profile does not say


@open_judge.register
def open_model_judge(judge: ModelHandle, settings: JudgeSettings, engine: EngineConfig) -> Judge:
    """The model, on the judge's own engine or the run's; it belongs to the running step.

    Raises:
        ConfigError: a chat server has no address, or the model's folder is missing or incomplete.
    """
    sampling = SamplingSettings(settings.reply_tokens, settings.temperature)
    own = settings.engine or engine
    if settings.endpoint == "chat":
        chat = open_chat_judge(own, judge.name, sampling)
        at_end(chat.client.close)
        return chat
    # A refusal is an outcome that is counted, however many there are.
    lazy = LazyEngine(judge, own.model_copy(update={"failed_share": 1.0}))
    at_end(lazy.count_tokens)
    at_once = (own.concurrency or SERVER_ROWS) if own.base_url else own.batch_size
    return EngineJudge(lazy.open(), sampling, at_once)
