"""Cascade attention against each model type's own attention, left padding included."""

import pytest
import torch

from models.engines.cascade_runner import CascadeRunner
from models.lm import cascade_attention as cascade
from models.lm.cascade_attention import CASCADE, PLAIN_CAUSAL_TYPES, supports_cascade
from models.lm.row_runners import read_prefix
from tests.models.engines.model_folders import make_model

GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
OWN_HEADS = ("gpt2", "opt", "gpt_neox", "phi", "olmo")  # model types without grouped key-value heads
FULL_ATTENTION = {
    "mistral": {"sliding_window": None},
    "mixtral": {"sliding_window": None},
    "starcoder2": {"sliding_window": None},
}


def small_model(model_type: str):
    settings = {} if model_type in OWN_HEADS else dict(GROUPED)
    if model_type == "phi3":
        del settings["head_dim"]
    return make_model(model_type, **settings, **FULL_ATTENTION.get(model_type, {}))


@pytest.mark.parametrize("model_type", sorted(PLAIN_CAUSAL_TYPES))
def test_logits_equal_the_models_own_attention(model_type: str) -> None:
    model = small_model(model_type)
    assert supports_cascade(model.config)
    generator = torch.Generator().manual_seed(1)
    prefix, *rows = (torch.randint(3, 400, (n,), generator=generator).tolist() for n in (20, 5, 9, 1))
    with torch.inference_mode():
        expected = [model(torch.tensor([prefix + row])).logits[0, -1] for row in rows]
        after = [model(torch.tensor([prefix + row + [7 + i]])).logits[0, -1] for i, row in enumerate(rows)]
        model.set_attn_implementation(CASCADE)
        runner = CascadeRunner(model, read_prefix(model, prefix), 40)
        read = runner.read(rows)[:, -1]
        assert torch.allclose(read, torch.stack(expected), atol=1e-4)
        assert torch.allclose(runner.step(torch.tensor([7, 8, 9])), torch.stack(after), atol=1e-4)


def test_rows_move_with_their_caches() -> None:
    model = small_model("llama")
    model.set_attn_implementation(CASCADE)
    rows = [[5, 6, 7], [8], [9, 10]]
    with torch.inference_mode():
        whole = CascadeRunner(model, read_prefix(model, [1, 3]), 10)
        whole.read(rows)
        all_logits = whole.step(torch.tensor([20, 21, 22]))
        moved = CascadeRunner(model, read_prefix(model, [1, 3]), 10)
        moved.read(rows)
        moved.select(torch.tensor([2, 0, 2]))
        assert torch.allclose(moved.step(torch.tensor([22, 20, 22])), all_logits[[2, 0, 2]], atol=1e-5)


def test_the_last_positions_of_a_chunked_read_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("llama")
    model.set_attn_implementation(CASCADE)
    rows = [list(range(3, 14)), list(range(30, 37))]
    with torch.inference_mode():
        expected = CascadeRunner(model, [], 11).read(rows, keep=5)
        monkeypatch.setattr("models.engines.cascade_runner.SCORE_LIMIT", 2 * 4 * 11 * 2)  # two positions at once
        chunked = CascadeRunner(model, [], 11).read(rows, keep=5)
    assert chunked.shape == (2, 5, 400)
    assert torch.allclose(chunked, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("mistral", {"sliding_window": 16}),
        ("gemma2", {}),
        ("bloom", {}),
        ("gpt_oss", {}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}),
    ],
)
def test_what_it_does_not_know_is_left_to_the_plain_path(model_type: str, changes: dict) -> None:
    from transformers import AutoConfig

    assert not supports_cascade(AutoConfig.for_model(model_type, **changes))


@pytest.mark.parametrize("tile", [4_000_000, 700])
def test_the_processors_kernel_equals_plain_operations(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(cascade, "SCORE_TILE", tile)
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (
        torch.randn(shape, generator=generator) for shape in ((2, 30, 8), (1, 2, 50, 8), (1, 2, 50, 8))
    )
    total, highest, mass = cascade._tiled_part(queries, keys, values)
    fused, log_mass, one = cascade._fused_part(queries, keys, values)
    assert torch.allclose(fused / one, total / mass, atol=1e-5)
    assert torch.allclose(log_mass, highest + mass.log(), atol=1e-5)


def test_new_rows_take_the_places_of_finished_ones() -> None:
    model = small_model("llama")
    model.set_attn_implementation(CASCADE)
    prefix, rows, late = [1, 3], [[5, 6, 7], [8], [9, 10]], [[20, 21, 22, 23, 24, 25, 26], [30]]
    with torch.inference_mode():
        expected = [model(torch.tensor([prefix + row])).logits[0, -1] for row in ([9, 10, 40, 50], late[0], late[1])]
        after = [
            model(torch.tensor([prefix + row])).logits[0, -1] for row in ([9, 10, 40, 50, 60], [*late[0], 61], [30, 62])
        ]
        runner = CascadeRunner(model, read_prefix(model, prefix), 9)
        runner.read(rows)
        runner.step(torch.tensor([11, 12, 40]))
        kept = runner.step(torch.tensor([13, 14, 50]))[2]
        fresh = runner.replace(torch.tensor([1, 0]), late, torch.tensor([0, 1]))
        assert torch.allclose(torch.stack((kept, *fresh)), torch.stack(expected), atol=1e-4)
        stepped = runner.step(torch.tensor([62, 61, 60]))
        assert torch.allclose(stepped[[2, 1, 0]], torch.stack(after), atol=1e-4)
        one = runner.replace(torch.tensor([1, 2]), [[30]], torch.tensor([0, 0]))
        assert runner.state.written == 2, "slots that no row uses any more are given up"
        assert torch.allclose(one, expected[2].expand(2, -1), atol=1e-4)


def test_rows_of_similar_length_are_read_together() -> None:
    model = small_model("llama")
    model.set_attn_implementation(CASCADE)
    rows = [[5 + i] * n for i, n in enumerate((3, 30, 12, 30, 2, 30, 11, 30, 12, 11))]
    with torch.inference_mode():
        runner = CascadeRunner(model, read_prefix(model, [1, 3]), 40)
        read = runner.read(rows)[:, -1]
        expected = torch.stack([model(torch.tensor([[1, 3, *row]])).logits[0, -1] for row in rows])
        assert torch.allclose(read, expected, atol=1e-4)
        stepped = runner.step(torch.full((10,), 9))
        expected = torch.stack([model(torch.tensor([[1, 3, *row, 9]])).logits[0, -1] for row in rows])
        assert torch.allclose(stepped, expected, atol=1e-4)
    assert runner.computed - sum(map(len, rows)) == runner.padded < 30
