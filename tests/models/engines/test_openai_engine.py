"""The engine behind a completions server, against the same model in this process, and with a server that misbehaves."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.errors import ConfigError, EngineError, TransientEngineError
from data_contracts.finish_reason import FinishReason
from models.engines import open_engine
from models.engines.openai_engine import OpenAIEngine
from models.engines.protocol import SamplingSettings
from models.engines.transformers_engine import TransformersEngine
from tests.models.engines.completions_server import Answer, CompletionsServer, as_json, serving

PREFIX = "Human: What grows in the garden?\n\nAssistant: Beans, roses and a little basil.\n\n-----\n\n"
SUFFIXES = [f"Human: {word}?\n\nAssistant:" for word in ("Who sings", "And the roses", "Is the sun up", "Basil", "Why")]
SEEDS = [5, 6, 7, 8, 2**40 + 3]
SAMPLED = SamplingSettings(10, temperature=1.1, top_p=0.9)
GREEDY = SamplingSettings(10, temperature=0)
BAD = SUFFIXES[2]


@pytest.fixture(scope="module")
def server(llama_folder: Path) -> Iterator[CompletionsServer]:
    with serving(llama_folder) as running:
        yield running


@pytest.fixture
def engine(server: CompletionsServer, llama_folder: Path) -> Iterator[OpenAIEngine]:
    """An engine whose waits are noted, not waited."""
    server.fault = lambda body, seen: None
    made = connect(server.url, llama_folder)
    server.requests.clear()
    server.headers.clear()
    yield made
    server.fault = lambda body, seen: None
    made.client.close()


def connect(url: str | None, folder: Path, **changes: Any) -> OpenAIEngine:
    settings: dict[str, Any] = {"request_retries": 2, "request_timeout_s": 20, "concurrency": 3} | changes
    made = open_engine(EngineConfig(kind=EngineKind.OPENAI, base_url=url, **settings), folder)
    assert isinstance(made, OpenAIEngine)
    made.client._sleep = lambda seconds: None
    return made


def only(prompt_end: str, answer: Answer, times: int = 99):
    """A fault for the prompts that end so, the first `times` times."""
    return lambda body, seen: answer if body["prompt"].endswith(prompt_end) and seen < times else None


def test_rows_are_those_of_the_model_behind_the_server(engine: OpenAIEngine, llama_folder: Path) -> None:
    here = TransformersEngine(llama_folder)
    assert engine.abilities.logprobs
    assert engine.abilities.samples
    for settings in (GREEDY, SAMPLED, SamplingSettings(10, temperature=0, stop=("e",))):
        far = engine.generate(PREFIX, SUFFIXES[:4], SEEDS[:4], settings)
        near = here.generate(PREFIX, SUFFIXES[:4], SEEDS[:4], settings)
        assert [row.text for row in far] == [row.text for row in near]
        assert [row.token_count for row in far] == [row.token_count for row in near]
        assert [row.finish_reason for row in far] == [row.finish_reason for row in near]
        assert [row.prompt_tokens for row in far] == [row.prompt_tokens for row in near]
        assert [row.logprob for row in far] == pytest.approx([row.logprob for row in near], abs=1e-4)
    counted = engine.counters.measured()
    assert 0 < counted["unique_prompt_tokens"] < counted["prompt_tokens"]
    assert "computed_prompt_tokens" not in counted, "the server does not say"
    assert engine.context_length == here.context_length
    assert engine.model_digest == here.model_digest
    assert engine.counters.generated_tokens == here.counters.generated_tokens


def test_requests_say_all_that_matters(
    engine: OpenAIEngine, server: CompletionsServer, monkeypatch: pytest.MonkeyPatch, llama_folder: Path
) -> None:
    engine.generate("", ["Human:"], [3], SamplingSettings(4, temperature=0.7, top_p=0.8, stop=("\n",)))
    assert server.requests[-1] == {
        "model": str(llama_folder), "prompt": "Human:", "max_tokens": 4, "temperature": 0.7, "top_p": 0.8, "seed": 3,
        "stop": ["\n"], "logprobs": 1,
    }  # fmt: skip
    assert "Authorization" not in server.headers[-1]
    monkeypatch.setenv("MY_KEY", "s3cret")
    named = connect(server.url, llama_folder, api_key_env="MY_KEY", served_model="llama")
    assert server.requests[-1]["model"] == "llama"
    assert server.headers[-1]["Authorization"] == "Bearer s3cret"
    server.fault = lambda body, seen: (401, {}, b"bad key")
    with pytest.raises(EngineError) as caught:
        named.generate("", ["Human:"], [3], GREEDY)
    assert "s3cret" not in str(caught.value)
    named.client.close()


def test_no_more_requests_at_once_than_allowed(engine: OpenAIEngine, server: CompletionsServer) -> None:
    server.busiest = 0
    engine.generate(PREFIX, SUFFIXES * 4, range(20), GREEDY)
    assert 1 < server.busiest <= 3


ROW_FAULTS = {
    "400": (as_json({"error": {"message": "prompt has a forbidden word"}}, 400), "400 .*forbidden word"),
    "too few": (as_json({"choices": []}), "0 completions for 1 prompt, 3 times"),
    "too many": (as_json({"choices": [{"text": "a"}, {"text": "b"}]}), "2 completions for 1 prompt"),
    "not JSON": ((200, {}, b"<html>It works!</html>"), "not JSON"),
    "half JSON": ((200, {}, b'{"choices": [{"te'), "not JSON"),
    "no choices": (as_json({"error": "overloaded"}), "without choices"),
    "a list": (as_json([1, 2]), "without choices"),
    "no text": (as_json({"choices": [{"text": None}]}), "without text"),
    "odd end": (as_json({"choices": [{"text": "a", "finish_reason": "abort"}]}), "for the reason 'abort'"),
    "cut prompt": (
        as_json({"choices": [{"text": "a"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
        r"read 3 of the prompt's \d+ tokens",
    ),
    "too long": (
        as_json({"choices": [{"text": "a b c"}], "usage": {"completion_tokens": 300}}),
        "drew 300 tokens although 10",
    ),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_a_row_that_fails_is_recorded_and_shifts_no_other(
    engine: OpenAIEngine, server: CompletionsServer, fault: str
) -> None:
    expected = engine.generate(PREFIX, SUFFIXES, SEEDS, SAMPLED)
    answer, message = ROW_FAULTS[fault]
    server.fault = only(BAD, answer)
    for ask in (engine.generate, engine.try_generate):
        with pytest.raises(EngineError, match=f"1 of 5 prompts failed and the others are kept: prompt 2: .*{message}"):
            ask(PREFIX, SUFFIXES, SEEDS, SAMPLED)
    server.fault = lambda body, seen: None
    server.requests.clear()
    assert engine.generate(PREFIX, SUFFIXES, SEEDS, SAMPLED) == expected
    assert [body["prompt"] for body in server.requests] == [PREFIX + BAD], "only the missing row is asked for again"
    server.fault, engine.failed_share = only(BAD, answer), 0.2
    found = engine.try_generate(PREFIX, SUFFIXES, SEEDS, SAMPLED)
    assert [row for row in found if row.error is None] == [expected[i] for i in (0, 1, 3, 4)]
    assert (found[2].text, found[2].finish_reason, found[2].seed) == ("", FinishReason.FAILED, SEEDS[2])
    assert re.search(message, found[2].error or "")
    assert engine.counters.failed_rows == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_asked_again(engine: OpenAIEngine, server: CompletionsServer, status: int) -> None:
    expected = engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY)
    waits: list[float] = []
    engine.client._sleep = waits.append
    server.requests.clear()
    server.fault = only(BAD, (status, {"Retry-After": "7"}, b"busy"), times=2)
    assert engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY) == expected
    assert waits == [7.0, 7.0]
    server.requests.clear()
    server.fault = only(BAD, (status, {}, b"busy"), times=2)
    waits.clear()
    assert engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY) == expected
    assert 0 < waits[0] < waits[1] < 2


def test_a_server_that_stays_overloaded_is_a_passing_fault_and_rows_are_kept(
    engine: OpenAIEngine, server: CompletionsServer
) -> None:
    server.fault = only(SUFFIXES[-1], (503, {}, b"busy"))
    with pytest.raises(TransientEngineError, match=r"503 \('busy'\) to 3 attempts"):
        engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY)
    server.fault = lambda body, seen: None
    before = len(server.requests)
    rows = engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY)
    assert len(rows) == 5
    assert len(server.requests) - before < 5


def test_a_slow_server_is_a_passing_fault(server: CompletionsServer, llama_folder: Path) -> None:
    slow = connect(server.url, llama_folder, request_timeout_s=0.5, request_retries=1)

    def sleepy(body: dict[str, Any], seen: int) -> None:
        time.sleep(1.0)

    server.fault = sleepy
    with pytest.raises(TransientEngineError, match=r"ReadTimeout.* after 2 attempts"):
        slow.generate("", ["Human:"], [1], GREEDY)
    server.fault = lambda body, seen: None
    slow.client.close()


def test_a_server_that_is_down_or_elsewhere_is_named(server: CompletionsServer, llama_folder: Path) -> None:
    with pytest.raises(TransientEngineError, match=r"http://127\.0\.0\.1:1/v1 cannot be reached"):
        connect("http://127.0.0.1:1/v1", llama_folder, request_retries=0)
    with pytest.raises(EngineError, match=r"404 \('no such page'\).*engine\.base_url"):
        connect(server.url.removesuffix("/v1"), llama_folder)
    with pytest.raises(ConfigError, match=r"needs engine\.base_url"):
        connect(None, llama_folder)


def test_a_server_that_lies_about_its_abilities_is_found_out(server: CompletionsServer, llama_folder: Path) -> None:
    def ignores_sampling(body: dict[str, Any], seen: int) -> Answer:
        return server.completion(body | {"temperature": 0.0, "logprobs": None})

    server.fault = ignores_sampling
    engine = connect(server.url, llama_folder)
    assert not engine.abilities.samples
    assert not engine.abilities.logprobs
    with pytest.raises(EngineError, match="same text for every seed"):
        engine.generate("", ["Human:"], [1], SAMPLED)
    row = engine.generate("", ["Human:"], [1], GREEDY)[0]
    assert row.logprob is None
    assert row.text
    server.fault = lambda body, seen: as_json({"detail": "logprobs?"}, 422) if "logprobs" in body else None
    assert not connect(server.url, llama_folder).abilities.logprobs
    server.fault = lambda body, seen: None


def test_blank_completions_are_drawn_again(engine: OpenAIEngine, server: CompletionsServer) -> None:
    blank = as_json({"choices": [{"text": " \n", "finish_reason": "stop"}]})
    server.fault = lambda body, seen: blank if seen < 2 else None
    settings = SamplingSettings(10, temperature=1.1, ban_empty=True)
    assert engine.generate("", ["Human: Who?"], [9], settings)[0].text
    assert [body["seed"] for body in server.requests] == [9, 10, 11]


def test_what_cannot_be_asked_is_refused_before_any_request(engine: OpenAIEngine, server: CompletionsServer) -> None:
    with pytest.raises(ConfigError, match=r"prompt 1 has \d+ tokens and asks for 10 new ones.* holds 192"):
        engine.generate("", ["Human:", "basil " * 300], [1, 2], GREEDY)
    with pytest.raises(ConfigError, match="prompt 0 is empty"):
        engine.generate("", [""], [1], GREEDY)
    with pytest.raises(ConfigError, match="2 prompts came with 1 seeds"):
        engine.generate("", ["a", "b"], [1], GREEDY)
    assert server.requests == []
    assert engine.generate("", [], [], GREEDY) == []


def test_a_stop_string_that_the_server_leaves_in_is_cut(engine: OpenAIEngine, server: CompletionsServer) -> None:
    server.fault = lambda body, seen: as_json({"choices": [{"text": " Fox.\nHuman: no", "finish_reason": "length"}]})
    row = engine.generate("", ["Human: stop\n"], [1], SamplingSettings(20, temperature=0, stop=("\nHuman",)))[0]
    assert (row.text, row.finish_reason) == ("Fox.", FinishReason.STOP)
    assert row.token_count > 2, "counted by the own tokenizer when the server gives no count"


def test_the_servers_own_prefix_cache_is_counted(server: CompletionsServer, llama_folder: Path) -> None:
    server.cached_tokens = 5
    engine = connect(server.url, llama_folder)
    engine.generate(PREFIX, SUFFIXES, SEEDS, GREEDY)
    counted = engine.counters.measured()
    assert counted["computed_prompt_tokens"] == counted["prompt_tokens"] - 5 * len(SUFFIXES)
    assert "padded_tokens" not in counted
    server.cached_tokens = None
    engine.client.close()
