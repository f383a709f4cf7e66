"""The PPO loop on a tiny model with a scorer that is known exactly: it learns, resumes to the bit, and adds up."""

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from data_contracts.config.optimizer_settings import Schedule
from data_contracts.config.policy.rewards import ScoreNormalization
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import JobError
from data_contracts.finish_reason import FinishReason
from data_contracts.tables.rollouts import Rollout
from models.rl.loop import learning_rate_factors
from models.rl.scoring import RunningMoments, pairwise_advantage, shape_scores
from tests.models.rl.tiny_loop import make_loop, make_spec


def test_it_learns_what_the_scorer_likes(tiny_llama_dir: Path, tmp_path: Path) -> None:
    sizes = {"rollouts": 32, "minibatch_size": 32, "micro_batch_size": 32}
    spec = make_spec(tmp_path, tiny_llama_dir, steps=20, epochs=4, learning_rate=1e-2, **sizes)
    state = make_loop(spec).run(lambda step, metrics: None)
    scores = [metrics["score"] for _, metrics in state.history if "score" in metrics]
    assert scores[-1] > scores[0] + 0.25
    kls = [metrics["kl"] for _, metrics in state.history if "kl" in metrics]
    assert kls[0] == pytest.approx(0.0, abs=1e-4), "policy and reference are the same model at the start"
    assert kls[-1] > 0.5
    checks = [metrics["validation_score"] for _, metrics in state.history if "validation_score" in metrics]
    assert checks[-1] > checks[0] + 0.25


def test_rollouts_obey_their_contract_and_add_up(tiny_llama_dir: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, tiny_llama_dir, missing_end_penalty=0.5, whiten_advantages=False)
    make_loop(spec).run(lambda step, metrics: None)
    parts = sorted((spec.output_dir / "rollouts").glob("part-*.parquet"))
    assert len(parts) == spec.steps
    rollouts = list(Rollout.read_files(parts))
    assert Rollout.to_table(rollouts).num_rows == spec.steps * spec.rollouts
    for rollout in rollouts:
        cut = rollout.finish_reason is FinishReason.LENGTH
        penalty = 0.5 if cut else 0.0
        assert rollout.reward == pytest.approx(rollout.score - penalty - 0.01 * rollout.kl, abs=1e-4)
        assert rollout.tokens <= spec.max_new_tokens
        assert cut <= (rollout.tokens == spec.max_new_tokens)
        assert rollout.prompt.endswith("Assistant:")


class Stop(Exception):
    """Stands for a kill between two steps."""


def test_resume_gives_the_undisturbed_weights_and_rollouts(tiny_llama_dir: Path, tmp_path: Path) -> None:
    whole_spec = make_spec(tmp_path / "whole", tiny_llama_dir, kl_target=1.0, score_normalization="running")
    whole = make_loop(whole_spec)
    whole_state = whole.run(lambda step, metrics: None)

    def stop_at_three(step: int, metrics: dict[str, float]) -> None:
        if step == 3:
            raise Stop

    broken_spec = make_spec(tmp_path / "broken", tiny_llama_dir, kl_target=1.0, score_normalization="running")
    with pytest.raises(Stop):
        make_loop(broken_spec).run(stop_at_three)
    steps: list[int] = []
    again = make_loop(broken_spec)
    state = again.run(lambda step, metrics: steps.append(step))
    assert steps == [3, 4], "only what came after the checkpoint is done again"
    assert state == whole_state
    for ours, theirs in zip(again.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for name in ("part-00003.parquet", "part-00004.parquet"):
        first, second = (pq.read_table(s.output_dir / "rollouts" / name) for s in (whole_spec, broken_spec))
        assert first.equals(second)


def test_micro_batches_add_up_to_the_mini_batch(tiny_llama_dir: Path, tmp_path: Path) -> None:
    weights, metrics = [], []
    for micro in (1, 8):
        spec = make_spec(tmp_path / str(micro), tiny_llama_dir, steps=1, epochs=1, micro_batch_size=micro)
        loop = make_loop(spec)
        loop.run(lambda step, metrics: None)
        weights.append(torch.cat([p.detach().flatten() for p in loop.policy.parameters()]))
        metrics.append(next(measured for _, measured in loop.state.history if "loss" in measured))
    torch.testing.assert_close(weights[0], weights[1], atol=2e-4, rtol=0)
    assert metrics[0] == pytest.approx(metrics[1], abs=2e-5)


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_the_first_update_starts_from_what_was_sampled(top_p: float, tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Before the first update every ratio is 1 and the KL is 0, whatever the temperature and the nucleus."""
    changes = {"steps": 1, "epochs": 1, "minibatch_size": 16, "temperature": 0.7, "top_p": top_p}
    state = make_loop(make_spec(tmp_path, tiny_llama_dir, **changes)).run(lambda step, metrics: None)
    first = next(measured for _, measured in state.history if "loss" in measured)
    assert first["approx_kl"] == pytest.approx(0.0, abs=1e-9)
    assert first["clip_fraction"] == 0.0
    assert first["kl"] == pytest.approx(0.0, abs=1e-4)


def test_adapters_learn_and_are_merged(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """With LoRA the reference is the policy with its adapters off; the saved model is a plain one with the same logits."""
    from transformers import AutoModelForCausalLM

    settings = TrainingSettings(save_every=2, use_cpu=True, lora_rank=4)
    loop = make_loop(make_spec(tmp_path, tiny_llama_dir, training=settings, learning_rate=1e-2))
    state = loop.run(lambda step, metrics: None)
    steps = [measured for _, measured in state.history if "kl" in measured]
    assert steps[0]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert steps[-1]["kl"] > 0.01, "the reference stands still while the adapters learn"
    loop.save_policy(tmp_path / "saved")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.tensor([[1, 50, 60, 70]])
    torch.testing.assert_close(saved(ids).logits, loop.policy.model(ids).logits, atol=1e-4, rtol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama_dir).state_dict()
    assert {name for name, value in saved.state_dict().items() if not torch.equal(value, plain[name])}


def test_the_gradient_norm_is_clipped_and_reported(tiny_llama_dir: Path, tmp_path: Path) -> None:
    limits = {"max_grad_norm": 1e-3, "value_max_grad_norm": 2e-3}
    loop = make_loop(make_spec(tmp_path, tiny_llama_dir, steps=1, epochs=1, **limits))
    norms: list[float] = []

    def spy(optimizer: torch.optim.Optimizer) -> None:
        real_step = optimizer.step

        def step(*args, **kwargs):
            grads = [p.grad.norm() for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.stack(grads).norm()))
            return real_step(*args, **kwargs)

        optimizer.step = step  # type: ignore[method-assign]

    spy(loop.updater.engine.optimizer)  # type: ignore[attr-defined]
    spy(loop.updater.head.optimizer)  # type: ignore[union-attr]
    state = loop.run(lambda step, metrics: None)
    assert norms == pytest.approx([1e-3, 2e-3] * 2, rel=1e-3)
    logged = state.history[-2][1]
    assert logged["grad_norm"] > 1e-3, "what is logged is the norm before clipping"
    assert logged["value_grad_norm"] > 2e-3


def test_the_value_heads_gradient_does_not_scale_the_policys(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """A head whose loss counts a thousandfold leaves a detached policy's update as it was."""
    trunks, heads = [], []
    for weight in (1.0, 1000.0):
        changes = {"steps": 1, "epochs": 1, "max_grad_norm": 0.5, "value_coefficient": weight}
        loop = make_loop(make_spec(tmp_path / str(weight), tiny_llama_dir, **changes))
        loop.policy.detach_value = True
        loop.run(lambda step, metrics: None)
        trunks.append(torch.cat([p.detach().flatten() for p in loop.policy.model.parameters()]))
        heads.append(next(metrics["value_grad_norm"] for _, metrics in loop.state.history if "loss" in metrics))
    assert torch.equal(trunks[0], trunks[1])
    assert heads[1] == pytest.approx(1000 * heads[0], rel=0.2)


def test_only_the_value_head_learns_in_its_warm_up(tiny_llama_dir: Path, tmp_path: Path) -> None:
    changes = {"steps": 2, "value_warmup_steps": 1, "kl_target": 1.0, "kl_horizon": 10}
    loop = make_loop(make_spec(tmp_path, tiny_llama_dir, **changes))
    before = [p.detach().clone() for p in loop.policy.model.parameters()]
    seen: list[tuple[bool, float, float]] = []

    def look(step: int, metrics: dict[str, float]) -> None:
        same = all(torch.equal(a, b) for a, b in zip(before, loop.policy.model.parameters(), strict=True))
        seen.append((same, float(loop.policy.value_head.weight.detach().abs().sum()), loop.state.kl_coefficient))

    loop.run(look)
    assert [same for same, _, _ in seen] == [True, False]
    assert seen[0][1] > 0
    assert seen[0][2] == 0.01, "a policy that stands still says nothing about the KL coefficient"
    assert seen[1][2] != 0.01


def test_a_number_that_is_not_finite_stops_with_step_and_rows(tiny_llama_dir: Path, tmp_path: Path) -> None:
    loop = make_loop(make_spec(tmp_path, tiny_llama_dir, score_clip=None))
    loop.scorer.score = lambda contexts, prompts, responses: [float("inf")] * len(responses)  # type: ignore[method-assign]
    with pytest.raises(JobError, match=r"PPO step 1: 16 of 16 rollouts .* prompts p\d"):
        loop.run(lambda step, metrics: None)


def test_scores_are_scaled_clipped_and_penalised(tiny_llama_dir: Path, tmp_path: Path) -> None:
    seen = RunningMoments()
    seen.add([1.0, 3.0])
    seen.add([5.0, 7.0])
    assert (seen.count, seen.mean, seen.std) == (4, 4.0, pytest.approx(5**0.5))
    plain = make_spec(tmp_path, tiny_llama_dir, score_clip=6.0, missing_end_penalty=2.0)
    shaped = shape_scores([5.0, 7.0], [True, False], plain, seen)
    assert shaped.tolist() == [5.0, 4.0]
    running = plain.model_copy(update={"score_normalization": ScoreNormalization.RUNNING})
    expected = [1 / 5**0.5, 3 / 5**0.5 - 2.0]
    assert shape_scores([5.0, 7.0], [True, False], running, seen).tolist() == pytest.approx(expected)
    batch = plain.model_copy(update={"score_normalization": ScoreNormalization.BATCH})
    assert shape_scores([5.0, 7.0], [True, True], batch, seen).tolist() == pytest.approx([-1.0, 1.0])


def test_learning_rate_factors(tiny_llama_dir: Path, tmp_path: Path) -> None:
    # 4 steps x 2 epochs x 2 mini-batches = 16 updates, of which a quarter warm up.
    spec = make_spec(tmp_path, tiny_llama_dir, schedule=Schedule.LINEAR, warmup_share=0.25)
    factor = learning_rate_factors(spec)
    assert [factor(u) for u in (0, 3, 4, 10)] == pytest.approx([0.2, 0.8, 1.0, 0.5])
    constant = learning_rate_factors(spec.model_copy(update={"schedule": Schedule.CONSTANT, "warmup_share": 0.0}))
    assert {constant(u) for u in range(16)} == {1.0}


def test_pairwise_advantage_by_hand() -> None:
    """Scores 0 and log 3: sigma(log 3) = 3/4, so the better sample gets 4 x (3/4 - 1/2) = 1, the worse one -1."""
    advantage = pairwise_advantage(torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]]))
    torch.testing.assert_close(advantage, torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))


def test_pairwise_advantage_is_bounded_and_centred() -> None:
    scores = torch.tensor([[1e6, 0.0, -1e6, 3.0]])
    advantage = pairwise_advantage(scores)
    assert float(advantage.abs().max()) <= 2.0
    assert float(advantage.sum()) == pytest.approx(0.0, abs=1e-6)
    assert advantage[0].argsort().tolist() == scores[0].argsort().tolist()


def test_pairwise_needs_several_samples(tmp_path: Path, tiny_llama_dir: Path) -> None:
    with pytest.raises(ValidationError, match="samples_per_prompt"):
        make_spec(tmp_path, tiny_llama_dir, score_normalization="pairwise", samples_per_prompt=1)
