"""One request to an OpenAI-style `/v1/chat/completions` server, for judges: base models have no business there.

Retries and faults are those of `completions_client`. What a chat server adds is an outcome, not a fault: a refusal in a
field of its own, and a reply that its content filter withheld.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from models.engines.completions_client import CompletionsClient, Reply, RowRefusedError, UnusableReply

WITHHELD = "content_filter"
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"


class ChatClient(CompletionsClient):
    """As `CompletionsClient`, one user's message at a time."""

    route: ClassVar[str] = "chat/completions"
    reasons: ClassVar[tuple[str | None, ...]] = ("stop", "length", WITHHELD, None)
    limit = OLD_LIMIT

    def ask(self, message: str, max_new_tokens: int, options: Mapping[str, Any]) -> Reply:
        """The reply to one message; some models want the limit of new tokens under its newer name.

        Raises:
            RowRefusedError, TransientEngineError, EngineError: as `complete`.
        """
        payload = {"messages": [{"role": "user", "content": message}], **options}
        limit = self.limit
        try:
            return self.complete({**payload, limit: max_new_tokens})
        except RowRefusedError as error:
            if limit == NEW_LIMIT or NEW_LIMIT not in str(error):
                raise
        self.limit = NEW_LIMIT
        return self.complete({**payload, NEW_LIMIT: max_new_tokens})

    def _text(self, choice: dict[str, Any]) -> str:
        message = choice.get("message")
        if not isinstance(message, dict):
            raise UnusableReply("sent a choice without a message")
        content = message.get("content")
        if isinstance(content, list):  # parts, of which some are text
            parts = [part.get("text") for part in content if isinstance(part, dict)]
            content = "".join(part for part in parts if isinstance(part, str))
        if content is None or content == "":
            content = message.get("refusal") or ""
        if not isinstance(content, str):
            raise UnusableReply("sent a message without text")
        return content
