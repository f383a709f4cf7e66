"""Option scoring behind a server against the engine in this process, and servers that only seem to offer it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.errors import EngineError
from models.engines import open_engine
from models.engines.openai_engine import OpenAIEngine
from models.engines.transformers_engine import TransformersEngine
from tests.models.engines.completions_server import CompletionsServer, as_json, serving

ITEMS = [
    ("Human: What grows in the garden?\n\nAssistant:", [" Beans", " The blackbird sings early", " sun"]),
    ("Human: Who sings? ", ["The blackbird", "basil"]),  # white space at the seam belongs to the option
]
PREFIX = "Human: Is the sun up?\n\nAssistant: Early.\n\n"


@pytest.fixture(scope="module")
def server(llama_folder: Path) -> Iterator[CompletionsServer]:
    with serving(llama_folder) as running:
        yield running


def connect(server: CompletionsServer, folder: Path) -> OpenAIEngine:
    made = open_engine(EngineConfig(kind=EngineKind.OPENAI, base_url=server.url, request_retries=0), folder)
    assert isinstance(made, OpenAIEngine)
    return made


def test_scores_are_those_of_the_model_behind_the_server(server: CompletionsServer, llama_folder: Path) -> None:
    server.fault = lambda body, seen: None
    engine = connect(server, llama_folder)
    assert engine.abilities.prompt_logprobs
    here = TransformersEngine(llama_folder)
    for prefix in ("", PREFIX):
        far, near = engine.score_many(ITEMS, prefix), here.score_many(ITEMS, prefix)
        assert [len(scores) for scores in far] == [3, 2]
        for a, b in zip(far, near, strict=True):
            assert a == pytest.approx(b, abs=1e-4)
    assert engine.score_options(*ITEMS[0]) == pytest.approx(here.score_options(*ITEMS[0]), abs=1e-4)
    assert engine.counters.prompt_tokens == here.counters.prompt_tokens
    engine.client.close()


def changed(server: CompletionsServer, body: dict[str, Any], logprobs: list[Any]) -> Any:
    choice = {"text": body["prompt"] + " x", "finish_reason": "length", "logprobs": {"token_logprobs": logprobs}}
    return as_json({"choices": [choice]})


SEEMING = {
    "ignores echo": lambda server, body: server.completion({**body, "echo": False}),
    "refuses echo": lambda server, body: as_json({"detail": "echo?"}, 422),
    "only the new token": lambda server, body: changed(server, body, [-1.0]),
    "no numbers": lambda server, body: changed(server, body, [None] * 100),
    "no logarithms": lambda server, body: changed(server, body, [None, *[0.5] * 99]),
}


@pytest.mark.parametrize("seeming", SEEMING)
def test_a_server_that_cannot_is_found_out_before_any_option(
    server: CompletionsServer, llama_folder: Path, seeming: str
) -> None:
    server.fault = lambda body, seen: SEEMING[seeming](server, body) if body.get("echo") else None
    engine = connect(server, llama_folder)
    assert not engine.abilities.prompt_logprobs
    asked = len(server.requests)
    with pytest.raises(EngineError, match=r"no log-probabilities of prompts .* so it cannot score options"):
        engine.score_many(ITEMS)
    assert len(server.requests) == asked
    engine.client.close()


def test_another_tokenizer_at_the_server_is_an_error_not_a_shift(server: CompletionsServer, llama_folder: Path) -> None:
    server.fault = lambda body, seen: None
    engine = connect(server, llama_folder)
    server.fault = lambda body, seen: changed(server, body, [None, *[-1.0] * 3])
    with pytest.raises(EngineError, match=r"sent 4 log-probabilities of \d+ prompt tokens; the local tokenizer counts"):
        engine.score_options(*ITEMS[0])
    engine.client.close()
