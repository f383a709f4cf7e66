"""The engine against transformers' own `generate` and plain full forwards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_contracts.errors import ConfigError, EngineError
from data_contracts.finish_reason import FinishReason
from models.engines.protocol import SamplingSettings, naming_rows
from models.engines.transformers_engine import TransformersEngine
from models.lm.load_model import _say_plain
from models.lm.token_rows import encode_rows
from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder

PREFIX = "Human: What grows in the garden?\n\nAssistant: Beans, roses and a little basil.\n\n-----\n\n"
SUFFIXES = [
    "Human: Who sings?\n\nAssistant:",
    "Human: Is the sun up in the morning, or does it come up long after the blackbird sings?\n\nAssistant:",
    "Human: Who sings?\n\nAssistant:",
    "Human: And the roses?\n\nAssistant: They grow.\n\nHuman: Why?\n\nAssistant:",
]
GREEDY = SamplingSettings(max_new_tokens=12, temperature=0)
SAMPLED = SamplingSettings(max_new_tokens=12, temperature=1.1, top_p=0.9)


def reference(folder: Path, texts: list[str], new_tokens: int) -> list[tuple[str, int, float]]:
    """Text, tokens and log-probability of each text's greedy completion, one row at a time, by transformers."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    results = []
    for ids in encode_rows(tokenizer, texts):
        prompt = torch.tensor([ids])
        output = model.generate(prompt, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0)
        new = output[0, len(ids) :]
        logprobs = model(output).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        text = tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
        results.append((text, len(new), logprobs.gather(-1, new[:, None]).sum().item()))
    return results


@pytest.mark.parametrize("prefix", [PREFIX, ""])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_greedy_equals_generate(llama_folder: Path, prefix: str, batch_size: int) -> None:
    engine = TransformersEngine(llama_folder, batch_size=batch_size)
    found = engine.generate(prefix, SUFFIXES, range(4), GREEDY)
    for row, (text, tokens, logprob) in zip(
        found, reference(llama_folder, [prefix + s for s in SUFFIXES], 12), strict=True
    ):
        assert (row.text, row.token_count) == (text, tokens)
        assert row.logprob == pytest.approx(logprob, abs=1e-4)


def test_greedy_equals_generate_on_real_weights(stories_folder: Path) -> None:
    engine = TransformersEngine(stories_folder)
    prefix = "Once upon a time there was a little girl named Lily. She had a"
    suffixes = [" red ball", " dog", " big red ball and she liked to play with it. One day"]
    found = engine.generate(prefix, suffixes, [1, 2, 3], SamplingSettings(60, temperature=0))
    for row, (text, tokens, logprob) in zip(
        found, reference(stories_folder, [prefix + s for s in suffixes], 60), strict=True
    ):
        assert (row.text, row.token_count) == (text, tokens)
        assert row.logprob == pytest.approx(logprob, abs=1e-4)


def test_every_configured_end_token_ends_a_text(stories_folder: Path) -> None:
    engine = TransformersEngine(stories_folder)
    assert engine.loaded.end_ids == (1, 2)
    ended = engine.generate("", ["The end."] * 40, range(40), SamplingSettings(60, temperature=1.5))
    assert {row.finish_reason for row in ended} == {FinishReason.END, FinishReason.LENGTH}
    assert all("<s>" not in row.text and row.token_count < 60 for row in ended if row.finish_reason == FinishReason.END)


@pytest.mark.parametrize("model_type", ["gemma2", "mistral"])
def test_models_outside_the_cascade_take_the_plain_path(
    tmp_path: Path, model_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    _say_plain.cache_clear()
    model = make_model(model_type, num_key_value_heads=2, head_dim=8, sliding_window=16)
    folder = save_folder(tmp_path, model, make_tokenizer())
    engine = TransformersEngine(folder, batch_size=3)
    assert not engine.loaded.cascade
    assert not TransformersEngine(folder).loaded.cascade
    assert caplog.text.count(f"models of type {model_type} keep no shared prefix") == 1, "said once"
    found = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    for row, (text, _, logprob) in zip(found, reference(folder, [PREFIX + s for s in SUFFIXES], 12), strict=True):
        assert row.text == text
        assert row.logprob == pytest.approx(logprob, abs=1e-4)


def test_a_sample_depends_on_its_seed_alone(llama_folder: Path) -> None:
    seeds = [11, 12, 13, 11]
    together = TransformersEngine(llama_folder, batch_size=64).generate(PREFIX, SUFFIXES, seeds, SAMPLED)
    alone = TransformersEngine(llama_folder, batch_size=1).generate(PREFIX, SUFFIXES, seeds, SAMPLED)
    assert [row.text for row in together] == [row.text for row in alone]
    assert [row.logprob for row in together] == pytest.approx([row.logprob for row in alone], abs=1e-4)
    moved = TransformersEngine(llama_folder).generate(PREFIX, SUFFIXES[::-1], seeds[::-1], SAMPLED)
    assert [row.text for row in moved[::-1]] == [row.text for row in together]
    again = TransformersEngine(llama_folder).generate(PREFIX, SUFFIXES, [21, 22, 23, 24], SAMPLED)
    assert [row.text for row in again] != [row.text for row in together]


def test_equal_prompts_with_different_seeds_differ_and_are_read_once(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    rows = engine.generate(PREFIX, [SUFFIXES[0]] * 4, [1, 2, 3, 2**70 + 1], SAMPLED)
    assert len({row.text for row in rows}) >= 3
    assert rows[0].text == rows[3].text  # seeds count by their low 64 bits
    extra = engine.counters.unique_prompt_tokens - rows[0].prompt_tokens  # of the prefix, read to its end
    assert 0 <= extra <= 2
    assert engine.counters.prompt_tokens == 4 * rows[0].prompt_tokens


def test_the_prefix_is_read_once_across_calls(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    first = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    read = engine.counters.computed_prompt_tokens
    second = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    assert second == first
    assert engine.counters.computed_prompt_tokens - read == read - engine.count_tokens(PREFIX)
    assert engine.counters.generated_tokens == sum(row.token_count for row in first + second)


def test_a_stop_string_is_cut_and_ends_the_row(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    whole = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    for row, suffix in zip(whole, SUFFIXES, strict=True):
        stop = row.text[3:6]
        cut = engine.generate(PREFIX, [suffix], [0], SamplingSettings(12, temperature=0, stop=(stop,)))[0]
        assert cut.finish_reason is FinishReason.STOP
        assert cut.text == row.text[: row.text.find(stop)].strip()
        assert 0 < cut.token_count <= row.token_count


def test_a_stop_string_inside_the_prompt_stops_nothing(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    free = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    stopped = SamplingSettings(12, temperature=0, stop=("-----", "Human: What"))
    assert engine.generate(PREFIX, SUFFIXES, range(4), stopped) == free


def test_ban_empty_draws_no_end_before_a_visible_character(tmp_path: Path) -> None:
    model = make_model()
    model.get_output_embeddings().weight.data[2] *= 0  # logit 0 against random ones: ends soon
    folder = save_folder(tmp_path, model, make_tokenizer())
    engine = TransformersEngine(folder)
    hot = {"max_new_tokens": 4, "temperature": 50.0, "stop": ("e",)}
    free = engine.generate("", ["Human:"] * 300, range(300), SamplingSettings(**hot))
    banned = engine.generate("", ["Human:"] * 300, range(300), SamplingSettings(**hot, ban_empty=True))
    assert any(not row.text for row in free)
    first_token_empty = [row for row in banned if not row.text and row.token_count == 1]
    assert not first_token_empty


def test_a_tokenizer_without_bos_scores_and_generates(tmp_path: Path) -> None:
    folder = save_folder(tmp_path, make_model(), make_tokenizer(bos=False))
    engine = TransformersEngine(folder)
    found = engine.generate("", SUFFIXES, range(4), GREEDY)
    expected = reference(folder, SUFFIXES, 12)
    assert [row.text for row in found] == [text for text, _, _ in expected]
    with pytest.raises(ConfigError, match="prompt 1 is empty"):
        engine.generate("", ["Human:", ""], [0, 1], GREEDY)


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_option_scores_equal_a_full_forward(llama_folder: Path, prefix: str) -> None:
    engine = TransformersEngine(llama_folder, batch_size=2)
    options = [" Beans and roses grow.", " The blackbird", " A", " B"]
    context = "Human: What sings?\n\nAssistant:"
    model = AutoModelForCausalLM.from_pretrained(llama_folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    read = encode_rows(tokenizer, [prefix + context])[0]
    for option, score in zip(options, engine.score_options(context, options, prefix), strict=True):
        ids = encode_rows(tokenizer, [prefix + context + option])[0]
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(logprobs[place - 1, ids[place]].item() for place in range(len(read), len(ids)))
        assert score == pytest.approx(expected, abs=1e-4)


def test_a_space_between_context_and_option_belongs_to_the_option(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    assert engine.score_options("Human: Who? ", ["Beans"]) == engine.score_options("Human: Who?", [" Beans"])


def test_long_prompts_are_read_in_chunks(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TransformersEngine(llama_folder).score_options(SUFFIXES[1], [" It sings long before the sun.", " A"])
    monkeypatch.setattr("models.engines.cascade_runner.SCORE_LIMIT", 2_000)
    monkeypatch.setattr("models.lm.cascade_attention.SCORE_TILE", 300)
    engine = TransformersEngine(llama_folder)
    assert engine.score_options(SUFFIXES[1], [" It sings long before the sun.", " A"]) == pytest.approx(whole, abs=1e-4)
    rows = engine.generate(PREFIX, SUFFIXES, range(4), GREEDY)
    assert [row.text for row in rows] == [
        text for text, _, _ in reference(llama_folder, [PREFIX + s for s in SUFFIXES], 12)
    ]


def test_a_prompt_longer_than_the_context_is_named_with_both_lengths(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    long = "Human: " + "basil " * 300
    tokens = engine.count_tokens(long)
    expected = rf"prompt 1 has {tokens} tokens and asks for 12 new ones, but the model's context holds 192"
    with pytest.raises(ConfigError, match=expected):
        engine.generate("", ["Human:", long], [1, 2], GREEDY)
    with pytest.raises(ConfigError, match=rf"^query q7: {expected}"), naming_rows(["query q3", "query q7"]):
        engine.generate("", ["Human:", long], [1, 2], GREEDY)
    fitting = engine.count_tokens("Human:")
    assert engine.generate("", ["Human:"], [1], SamplingSettings(192 - fitting, temperature=0))[0].token_count
    with pytest.raises(ConfigError):
        engine.generate("", ["Human:"], [1], SamplingSettings(193 - fitting, temperature=0))


def test_a_tokenizer_without_pad_and_end_runs_every_row_to_its_limit(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(bos=False)
    tokenizer.eos_token = None
    model = make_model(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model.generation_config.eos_token_id = None
    engine = TransformersEngine(save_folder(tmp_path, model, tokenizer))
    assert engine.loaded.end_ids == ()
    rows = ["Human:", "Human: What grows in the garden?", "The"]
    together = engine.generate("", rows, [1, 2, 3], SamplingSettings(9))
    assert [row.token_count for row in together] == [9, 9, 9]
    assert {row.finish_reason for row in together} == {FinishReason.LENGTH}
    alone = [engine.generate("", [row], [seed], SamplingSettings(9))[0] for seed, row in enumerate(rows, start=1)]
    assert [row.text for row in together] == [row.text for row in alone]


def test_seeds_must_match_the_rows(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    with pytest.raises(ConfigError, match="2 prompts came with 1 seeds"):
        engine.generate("", ["a", "b"], [1], GREEDY)
    assert engine.generate("", [], [], GREEDY) == []


def test_nan_weights_are_reported(tmp_path: Path) -> None:
    model = make_model()
    model.get_input_embeddings().weight.data[5:] = float("nan")
    engine = TransformersEngine(save_folder(tmp_path, model, make_tokenizer()))
    with pytest.raises(EngineError, match="not finite at new token 0"):
        engine.generate("", ["Human:"], [1], GREEDY)


@pytest.mark.parametrize("batch_size", [2, 5, 16])
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_rows_that_enter_late_are_the_same_as_alone(tmp_path: Path, prefix: str, batch_size: int) -> None:
    model = make_model()
    model.generation_config.eos_token_id = list(range(2, 400, 12))  # ends come often, at different steps
    folder = save_folder(tmp_path, model, make_tokenizer())
    words = ["rose", "a little basil in the garden", "sun", "beans, roses and the blackbird early in the morning"]
    suffixes = [f"Human: {words[i % 4]}?\n\nAssistant:" for i in range(22)]
    settings = SamplingSettings(24, temperature=1.6, stop=("th",), ban_empty=True)
    together = TransformersEngine(folder, batch_size=batch_size)
    found = together.generate(prefix, suffixes, range(22), settings)
    assert len({row.token_count for row in found}) > 4
    assert {row.finish_reason for row in found} >= {FinishReason.END, FinishReason.LENGTH}
    alone = TransformersEngine(folder, batch_size=1)
    expected = [alone.generate(prefix, [s], [i], settings)[0] for i, s in enumerate(suffixes)]
    assert [(r.text, r.token_count, r.finish_reason) for r in found] == [
        (r.text, r.token_count, r.finish_reason) for r in expected
    ]
    assert [r.logprob for r in found] == pytest.approx([r.logprob for r in expected], abs=1e-4)
    again = TransformersEngine(folder, batch_size=batch_size).generate(prefix, suffixes, range(22), settings)
    assert again == found, "the same inputs give the same batches"


def test_many_contexts_score_as_each_alone(llama_folder: Path, tmp_path: Path) -> None:
    items = [
        ("Human: What sings?\n\nAssistant:", [" The blackbird", " A", " Beans and roses grow."]),
        ("Human: Is the sun up long before the blackbird sings?\n\nAssistant:", [" A", " B"]),
        ("Human: Why?\n\nAssistant: ", ["Basil", ""]),
    ]
    plain = make_model("gemma2", num_key_value_heads=2, head_dim=8, sliding_window=16)
    for folder in (llama_folder, save_folder(tmp_path, plain, make_tokenizer())):
        for prefix in ("", PREFIX):
            engine = TransformersEngine(folder, batch_size=2)
            found = engine.score_many(items, prefix)
            apart = TransformersEngine(folder, batch_size=1)
            for (context, options), scores in zip(items, found, strict=True):
                expected = [apart.score_options(context, [option], prefix)[0] for option in options]
                assert scores == pytest.approx(expected, abs=1e-4)
            assert engine.score_many([], prefix) == []
            assert engine.counters.computed_prompt_tokens < engine.counters.prompt_tokens


def test_counters_know_what_was_padding(llama_folder: Path) -> None:
    engine = TransformersEngine(llama_folder)
    engine.generate(PREFIX, SUFFIXES, range(4), SamplingSettings(1, temperature=0))
    counters = engine.counters
    assert counters.computed_prompt_tokens == counters.unique_prompt_tokens + counters.padded_tokens
    assert 0 < counters.padded_tokens < counters.computed_prompt_tokens
