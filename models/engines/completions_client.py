"""One request to an OpenAI-style `/v1/completions` server, with retries: text and token counts out, or a named failure.

What a server says is not trusted: a reply is used only when it is the JSON object asked for, with as many choices.
Retried, with doubled waits or as long as `Retry-After` says: no connection, time-outs, 408, 409, 429, 5xx, replies
that make no sense. Not retried: other 4xx, which name a fault of the request.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import httpx

from data_contracts.errors import EngineError, TransientEngineError

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
REFUSED_TO_ALL = frozenset({401, 403, 404, 405})  # no other row would fare better
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0


class RowRefusedError(EngineError):
    """The server answers, but not this row: a bad request, or a reply that stays unusable."""


class UnusableReply(Exception):
    """A reply that is not what was asked for."""


@dataclass(frozen=True)
class Reply:
    """A checked reply: the only choice, and the server's own token counts where it gives them."""

    text: str
    finish_reason: str | None
    stop_reason: Any
    has_stop_reason: bool
    token_logprobs: list[float | None] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None  # of the prompt, found in the server's prefix cache


class CompletionsClient:
    """Sends requests for one model to one server; may be used from several threads."""

    route: ClassVar[str] = "completions"
    reasons: ClassVar[tuple[str | None, ...]] = ("stop", "length", None)

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None,
        timeout_s: float,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
        require_alive: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_alive` is asked when the server is out of reach, and raises if waiting for it is in vain."""
        self.base_url, self.model, self.retries, self._sleep = base_url.rstrip("/"), model, retries, sleep
        self._require_alive = require_alive
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(timeout=timeout_s, headers=headers, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def complete(self, payload: Mapping[str, Any], retries: int | None = None) -> Reply:
        """The reply to one prompt.

        Raises:
            RowRefusedError: this request is refused (400, 413, 422), or its replies stay unusable.
            TransientEngineError: the server stays out of reach, overloaded or silent.
            EngineError: the server refuses all requests (key, address, model).
        """
        attempts = 1 + (self.retries if retries is None else retries)
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.75, 1.25)
            try:
                response = self._http.post(f"{self.base_url}/{self.route}", json={"model": self.model, **payload})
                if response.status_code in RETRIED:
                    asked = _retry_after_s(response.headers.get("retry-after"))
                    wait = wait if asked is None else min(asked, LONGEST_WAIT_S)
                    if last:
                        raise TransientEngineError(f"{self._name()} answers {_quoted(response)} to {attempts} attempts")
                else:
                    return self._checked(response)
            except UnusableReply as problem:
                if last:
                    raise RowRefusedError(f"{self._name()} {problem}, {attempts} times") from None
            except httpx.TransportError as error:
                self._require_alive()
                if last:
                    raise TransientEngineError(
                        f"{self._name()} cannot be reached ({type(error).__name__}: {error}) after {attempts} attempts; "
                        "is it running, and is engine.base_url right?"
                    ) from error
            except httpx.InvalidURL as error:
                raise EngineError(f"engine.base_url '{self.base_url}' is not an address: {error}") from error
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _checked(self, response: httpx.Response) -> Reply:
        if response.status_code in REFUSED_TO_ALL:
            raise EngineError(
                f"{self._name()} answers {_quoted(response)}; check engine.base_url, engine.served_model and the key"
            )
        if response.status_code != 200:
            raise RowRefusedError(f"{self._name()} answers {_quoted(response)}")
        try:
            return self._parse(response.json())
        except ValueError:
            raise UnusableReply(f"sent something that is not JSON ({response.text[:80]!r})") from None

    def _name(self) -> str:
        return f"the server at {self.base_url}"

    def _parse(self, body: Any) -> Reply:
        choices = body.get("choices") if isinstance(body, dict) else None
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise UnusableReply("sent a reply without choices")
        if len(choices) != 1:
            raise UnusableReply(f"sent {len(choices)} completions for 1 prompt")
        choice = choices[0]
        text = self._text(choice)
        reason = choice.get("finish_reason")
        if reason not in self.reasons:
            raise UnusableReply(f"ended a completion for the reason {reason!r}")
        usage, logprobs = _object(body.get("usage")), _object(choice.get("logprobs"))
        return Reply(
            text=text,
            finish_reason=reason,
            stop_reason=choice.get("stop_reason"),
            has_stop_reason="stop_reason" in choice,
            token_logprobs=_list_or_none(logprobs.get("token_logprobs")),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            cached_tokens=_count(_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        )

    def _text(self, choice: dict[str, Any]) -> str:
        if not isinstance(choice.get("text"), str):
            raise UnusableReply("sent a choice without text")
        return choice["text"]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list_or_none(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None when there is none to be read."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _quoted(response: httpx.Response) -> str:
    return f"{response.status_code} ({' '.join(response.text[:160].split())!r})"
