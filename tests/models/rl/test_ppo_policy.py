"""Policy, sampling and updates: what is sampled is what is scored, whatever the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data_contracts.errors import ConfigError
from models.lm.causal_model import CausalModel, check_output_path, reference_logprobs
from models.lm.load_model import load_causal
from models.lm.nucleus import nucleus, pack, unpack
from models.rl.experience import unpack_nuclei
from models.rl.policy import Policy, freeze_lower_layers
from models.rl.rollouts import Sampling, sample_responses, to_batch, uniforms

END, PAD = 2, 3
PROMPTS = [[1, 50, 60, 70], [1, 80], [1, 90, 100, 110, 120, 130], [1, 60, 61]]


@pytest.fixture(scope="module")
def model(tiny_llama_dir: Path):
    """The tiny random model as a policy sees it."""
    return load_causal(tiny_llama_dir, torch.device("cpu"))


def sample(model, prompts: list[list[int]], draws: np.ndarray, batch_size: int = 8) -> list[list[int]]:
    """Sample at temperature 1."""
    sampling = Sampling(end_id=END, pad_id=PAD, temperature=1.0, batch_size=batch_size)
    return [response.tokens for response in sample_responses(CausalModel(model), prompts, draws, sampling)]


def test_sampled_frequencies_follow_the_model(model) -> None:
    draws = uniforms([5], range(4000), 1)
    tokens = [response[0] for response in sample(model, [PROMPTS[0]] * 4000, draws, 4000)]
    logits = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1]
    expected = torch.softmax(logits, dim=-1).detach().numpy()
    found = np.bincount(tokens, minlength=len(expected)) / 4000
    assert np.abs(found - expected).max() < 4 * np.sqrt(expected.max() / 4000)


def test_a_rows_tokens_do_not_depend_on_its_batch(model) -> None:
    draws = uniforms([1, 2], range(4), 12)
    together = sample(model, PROMPTS, draws)
    alone = [sample(model, [prompt], draws[i : i + 1])[0] for i, prompt in enumerate(PROMPTS)]
    pairs = sample(model, PROMPTS, draws, batch_size=2)
    assert together == alone == pairs


def test_the_end_token_stops_a_row_and_is_kept(model, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {0: 1, 1: 5, 2: 3, 3: 99}
    steps = {"t": 0}

    def scripted(_logits: torch.Tensor, numbers: torch.Tensor, *_: float) -> tuple[torch.Tensor, None]:
        steps["t"] += 1
        rows = (numbers * 10).round().long().tolist()  # the draw names the row
        return torch.tensor([END if steps["t"] >= lengths[row] else 40 + row for row in rows]), None

    monkeypatch.setattr("models.rl.rollouts.draw_by_uniforms", scripted)
    draws = np.repeat(np.arange(4)[:, None] / 10, 6, axis=1)
    prompts = [[1, 50, 60]] * 4
    assert sample(model, prompts, draws) == [[END], [41, 41, 41, 41, END], [42, 42, END], [43] * 6]


def test_logprobs_equal_the_plain_models(model) -> None:
    responses = [[41, 42, END], [43, 44, 45, 46, 47], [48, END], [49]]
    batch = to_batch(PROMPTS, responses, PAD)
    policy = Policy(model)
    with torch.no_grad():
        logprobs, values, entropy = policy(batch, 1.0)
    for i, (prompt, response) in enumerate(zip(PROMPTS, responses, strict=True)):
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0].detach()
        whole = torch.log_softmax(logits, dim=-1)
        for t, token in enumerate(response):
            at = whole[len(prompt) + t - 1]
            assert float(logprobs[i, t]) == pytest.approx(float(at[token]), abs=1e-5)
            assert float(entropy[i, t]) == pytest.approx(float(-(at.exp() * at).sum()), abs=1e-4)
    assert torch.equal(values, torch.zeros_like(values)), "the value head starts at zero"
    torch.testing.assert_close(reference_logprobs(CausalModel(model), batch, 1.0), logprobs.detach())


def test_temperature_is_mirrored(model) -> None:
    batch = to_batch([PROMPTS[0]], [[41, END]], PAD)
    logits = model(input_ids=batch.ids).logits[0] / 0.7
    expected = torch.log_softmax(logits, dim=-1)[[3, 4], [41, END]]
    torch.testing.assert_close(Policy(model)(batch, 0.7)[0][0], expected, atol=1e-5, rtol=0)


def test_top_p_is_mirrored(model) -> None:
    """Sampled tokens lie in their nucleus, and their log-probabilities are those of the cut distribution."""
    draws = uniforms([4], range(4), 5)
    sampling = Sampling(end_id=END, pad_id=PAD, temperature=0.8, batch_size=8, top_p=0.6)
    responses = sample_responses(CausalModel(model), PROMPTS, draws, sampling)
    batch = to_batch(PROMPTS, [response.tokens for response in responses], PAD)
    vocabulary = model.config.vocab_size
    allowed = unpack_nuclei([response.nuclei for response in responses], batch.response_mask.shape[1], vocabulary)
    assert allowed is not None
    policy = Policy(model)
    with torch.no_grad():
        logprobs, _, entropy = policy(batch, 0.8, allowed=allowed)
        full, _, wide = policy(batch, 0.8)
    for i, (prompt, response) in enumerate(zip(PROMPTS, responses, strict=True)):
        logits = model(input_ids=torch.tensor([prompt + response.tokens])).logits[0].detach() / 0.8
        for t, token in enumerate(response.tokens):
            ordered = torch.softmax(logits[len(prompt) + t - 1], dim=-1).sort(descending=True)
            size = int((ordered.values.cumsum(0) < 0.6).sum()) + 1
            kept = ordered.values[:size]
            place = ordered.indices[:size].tolist().index(token)
            assert float(logprobs[i, t]) == pytest.approx(float((kept[place] / kept.sum()).log()), abs=1e-4)
            assert float(logprobs[i, t]) > float(full[i, t])
            assert float(entropy[i, t]) < float(wide[i, t])


def test_bits_of_a_nucleus_come_back() -> None:
    allowed = torch.rand(3, 4, 21, generator=torch.Generator().manual_seed(0)) < 0.4
    packed = pack(allowed)
    assert packed.shape == (3, 4, 3)
    assert torch.equal(unpack(packed, 21), allowed)
    # Probabilities .5 .3 .2: .5 does not reach .6, .5 + .3 does.
    assert nucleus(torch.tensor([0.5, 0.3, 0.2]).log(), 0.6).tolist() == [True, True, False]


def test_activation_checkpointing_does_not_change_what_is_sampled(tiny_llama_dir: Path) -> None:
    """In training mode transformers would drop the cache of a checkpointed model without an error."""
    draws = uniforms([1, 2], range(4), 6)
    found = []
    for checkpointing in (False, True):
        policy = Policy(load_causal(tiny_llama_dir, torch.device("cpu")))
        if checkpointing:
            policy.model.activation_checkpointing_enable()
        policy.core.train(checkpointing)
        with policy.inference():
            sampling = Sampling(end_id=END, pad_id=PAD, temperature=1.0, batch_size=8)
            found.append([r.tokens for r in sample_responses(policy.core, PROMPTS, draws, sampling)])
        assert policy.core.training is checkpointing
    assert found[0] == found[1]


def test_rows_are_cropped_without_changing_the_result(model) -> None:
    batch = to_batch(PROMPTS, [[41, 42, END], [43, 44, 45, 46, 47], [48, END], [49]], PAD)
    part = batch.rows(torch.tensor([1, 3]))
    assert part.ids.shape == (2, 3 + 5)
    whole, cropped = (
        reference_logprobs(CausalModel(model), batch, 1.0),
        reference_logprobs(CausalModel(model), part, 1.0),
    )
    torch.testing.assert_close(cropped[0, :5], whole[1, :5], atol=1e-5, rtol=0)
    torch.testing.assert_close(cropped[1, :1], whole[3, :1], atol=1e-5, rtol=0)


def test_detached_value_head_leaves_the_trunk_alone(tiny_llama_dir: Path) -> None:
    batch = to_batch(PROMPTS[:1], [[41, END]], PAD)
    for detach in (False, True):
        policy = Policy(load_causal(tiny_llama_dir, torch.device("cpu")), detach_value=detach)
        torch.nn.init.ones_(policy.value_head.weight)
        policy(batch, 1.0)[1].sum().backward()
        reached = any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in policy.model.parameters())
        assert reached is not detach
        assert policy.value_head.weight.grad is not None


def test_unfrozen_layers(tiny_llama_dir: Path) -> None:
    model = load_causal(tiny_llama_dir, torch.device("cpu"))
    freeze_lower_layers(model, 1)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("layers.1." in name for name in trainable)
    assert not any("layers.0." in name or "embed" in name for name in trainable)
    with pytest.raises(ConfigError, match="unfrozen_layers is 9"):
        freeze_lower_layers(model, 9)


def test_a_family_that_changes_its_logits_is_refused(model, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output_path(CausalModel(model), PROMPTS[0])
    monkeypatch.setattr("models.lm.causal_model.head_logits", lambda m, hidden: m.get_output_embeddings()(hidden) * 2)
    with pytest.raises(ConfigError, match="LlamaForCausalLM"):
        check_output_path(CausalModel(model), PROMPTS[0])
