"""A judge behind a chat server (`/v1/chat/completions`): it needs a name and an address, no local tokenizer.

Each reply is kept as it comes, so that what was paid for survives whatever happens to the other requests.
"""

import os
from collections.abc import Callable, Sequence

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import ConfigError
from models.engines.chat_client import WITHHELD, ChatClient
from models.engines.completions_client import RowRefusedError
from models.engines.protocol import SamplingSettings
from models.engines.row_requests import for_each_row
from models.evaluation.judging.judges import JudgePrompt, JudgeReply

CONCURRENCY = 8  # requests at once when the profile does not say


class ChatJudge:
    """Asks one request per prompt, a bounded number at once."""

    rows_at_once = 1000  # every reply is kept on its own

    def __init__(self, client: ChatClient, settings: SamplingSettings, concurrency: int) -> None:
        self.client, self.settings, self.concurrency = client, settings, concurrency

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        """Ask all prompts; what the server refuses, or withholds, is a failure of that row.

        Raises:
            TransientEngineError, EngineError: the server as a whole fails.
        """
        for_each_row(len(prompts), self.concurrency, lambda row: keep(prompts[row], self._one(prompts[row])))

    def _one(self, prompt: JudgePrompt) -> JudgeReply:
        options = {"temperature": self.settings.temperature, "seed": prompt.seed % 2**31}
        try:
            reply = self.client.ask(prompt.text, self.settings.max_new_tokens, options)
        except RowRefusedError as error:
            return JudgeReply("", failure=str(error))
        failure = "the server's content filter withheld it" if reply.finish_reason == WITHHELD else None
        return JudgeReply(reply.text, reply.prompt_tokens, reply.completion_tokens, failure)


def open_chat_judge(config: EngineConfig, name: str, settings: SamplingSettings) -> ChatJudge:
    """A judge at `config.base_url`, under the name it has there; its key comes from the environment.

    Raises:
        ConfigError: no address is set.
    """
    if config.base_url is None:
        raise ConfigError("evaluation.judge.engine: kind 'openai' needs base_url, e.g. http://127.0.0.1:8000/v1")
    key = os.environ.get(config.api_key_env)
    client = ChatClient(config.base_url, name, key, config.request_timeout_s, config.request_retries)
    return ChatJudge(client, settings, config.concurrency or CONCURRENCY)
