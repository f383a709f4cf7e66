"""The benchmarks measure what they say; how fast anything is, is not tested."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import __main__ as command
from benchmarks import (
    _prefix_workload,
    bucketing,
    dedup_10k,
    option_scoring,
    ppo_episode,
    prompt_reuse,
    rm_best_of_4,
    roofline,
)
from benchmarks._measuring import interleaved, timed
from benchmarks._prefix_workload import NEW_TOKENS, Drawn, check_same, requests
from data_contracts.finish_reason import FinishReason
from models.engines.protocol import Completion


def test_contestants_take_turns_in_changing_order() -> None:
    calls: list[tuple[str, int]] = []
    results, seconds = interleaved(
        {name: lambda number, name=name: calls.append((name, number)) or (name, number) for name in ("a", "b")}, 3
    )
    assert calls == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert [result["b"] for result in results] == [("b", 0), ("b", 1), ("b", 2)]
    assert seconds["a"].wall_s >= 0
    assert timed(lambda: 7)[0] == 7


def test_the_workload_has_the_lengths_it_names() -> None:
    prefix, suffixes = requests(3, 5)
    assert len(prefix.split()) == 1024
    assert {len(suffix.split()) for suffix in suffixes} == {32}
    assert requests(3, 5) == (prefix, suffixes)
    assert requests(4, 5)[0] != prefix


def completion(tokens: list[int], logprob: float) -> Completion:
    return Completion(" ".join(f"w{t}" for t in tokens), len(tokens), 9, FinishReason.LENGTH, logprob, 0)


def test_different_tokens_pass_at_near_ties_alone() -> None:
    tokens = torch.arange(2 * NEW_TOKENS).reshape(2, NEW_TOKENS)
    logprobs, margins = torch.full((2, NEW_TOKENS), -0.5), torch.ones(2, NEW_TOKENS)
    ours = [completion(row, -0.5 * NEW_TOKENS) for row in tokens.tolist()]
    assert check_same(ours, Drawn(tokens, logprobs, margins)) == (0, 0.0)
    other = tokens.clone()
    other[1, 5] = 7
    with pytest.raises(AssertionError, match="row 1 parts at token 5"):
        check_same(ours, Drawn(other, logprobs, margins))
    margins[1, 5] = 1e-4
    assert check_same(ours, Drawn(other, logprobs, margins)) == (1, 0.0)
    with pytest.raises(AssertionError, match="log-probabilities differ"):
        check_same([completion(tokens[0].tolist(), -40.0)], Drawn(tokens, logprobs, margins))


def test_needed_flops_by_hand() -> None:
    config = LlamaConfig(hidden_size=2, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, vocab_size=10)
    own = 32 + 64 - 1
    weights = 2 * (4 * 2 * 2 + 3 * 2 * 4)
    attention = 4 * 2 * (1024 * 1025 // 2 + 3 * (own * 1024 + own * (own + 1) // 2))
    assert roofline.needed_flops(config, 3) == weights * (1024 + 3 * own) + 2 * 2 * 10 * 3 * 64 + attention


def test_dedup_counts_pairs_and_agrees_with_its_peer() -> None:
    lines = ["What is a cat?", "What is a cat like?", "How tall is a tree?", "what is a CAT", "Name five rivers."]
    expected = [True, False, True, False, True]
    assert dedup_10k.by_index(lines) == expected
    assert dedup_10k.by_rouge_score(lines) == (expected, 0 + 1 + 1 + 2 + 2)
    assert dedup_10k.pair_count(expected) == 6


def test_mmlu_items_are_five_shots_and_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMOST_DATA", str(tmp_path))
    for split in ("dev", "test"):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        rows = "".join(f'"{split} {i}, why?",a{i},b,c,d,B\n' for i in range(7))
        (tmp_path / "mmlu" / split / f"virology_{split}.csv").write_text(rows)
    items = option_scoring.read_items("virology", 2)
    assert items[0][1] == "test 0, why?\nA. a0\nB. b\nC. c\nD. d\nAnswer:"
    assert items[0][0] == items[1][0]
    assert items[0][0].count("Answer: B\n\n") == 5
    assert items[0][0].startswith("The following are multiple choice questions (with answers) about virology.\n\ndev 0")


def test_reuse_is_read_from_the_counters() -> None:
    def step(name: str, computed: float) -> dict:
        return {"label": name, "counters": {"computed_prompt_tokens": computed, "unique_prompt_tokens": 100.0}}

    summary = {"steps": [step("sample_responses-A", 104.0), {"label": "rank", "counters": {}}, step("other", 900.0)]}
    assert prompt_reuse.ratios_of(summary) == {"sample_responses-A": 1.04}
    with pytest.raises(AssertionError, match="more often than needed"):
        prompt_reuse.ratios_of({"steps": [step("self_play", 111.0)]})
    with pytest.raises(AssertionError, match="no step generated"):
        prompt_reuse.ratios_of({"steps": []})


@pytest.mark.slow
def test_small_benchmarks_run_and_check_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rm_best_of_4.measure(prompts=2, rounds=1)["score_difference"] < 1e-4
    monkeypatch.setattr(_prefix_workload, "PEER_BATCHES", (2,))
    for name in ("shared_prefix", "static_cache"):
        figures = importlib.import_module(f"benchmarks.{name}").measure(4, 1)
        assert figures["rows_compared"] == 2
        assert figures["logprob_difference"] < 1e-4


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(SystemExit, match=r"unknown benchmark sharedprefix; known: .*shared_prefix"):
        command.main(["sharedprefix"])


def test_bucketing_keeps_each_pair_together_and_counts_padding() -> None:
    pairs = [("Human: Why?\n\nAssistant: So.", "Human: Why?\n\nAssistant: No."), ("x " * 5000, "short")]
    chosen, rejected, tokenizer = bucketing.token_rows(pairs)
    assert len(chosen) == len(rejected) == 1, "a pair with a side beyond the limit goes as a whole"
    assert tokenizer.decode(chosen[0]) == pairs[0][0] + "</s>"
    assert tokenizer.decode(rejected[0]) == pairs[0][1] + "</s>"
    lengths = [1, 4, 1, 4]
    assert bucketing.padded_share(lengths, np.array([0, 1, 2, 3]), 2) == 1 - 10 / 16
    assert bucketing.padded_share(lengths, np.array([0, 2, 1, 3]), 2) == 0


def test_ppo_episodes_have_the_size_and_length_they_name(tmp_path: Path) -> None:
    ppo_episode.prepare(tmp_path)
    policy = LlamaForCausalLM.from_pretrained(tmp_path / "policy")
    assert policy.num_parameters() == pytest.approx(1.1e6, rel=0.02)
    prompts = torch.load(tmp_path / "prompts.pt", weights_only=True)
    assert prompts.shape == (64, 64)
    with torch.no_grad():
        chances = torch.softmax(policy(input_ids=prompts).logits, dim=-1)
    assert float(chances[..., [ppo_episode.PAD, ppo_episode.END]].max()) < 1e-6, "no row ends before its 48 tokens"
