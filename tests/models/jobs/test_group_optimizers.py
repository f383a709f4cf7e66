"""RLOO and GRPO on PPO's loop do to the weights what TRL's trainers do on the same responses and scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data_contracts.tables.rollouts import Rollout
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.trl_groups import LOSSES, RECORDED
from tests.models.rl.tiny_loop import CountingScorer, make_loop, make_spec

GROUPS = {"samples_per_prompt": 4, "rollouts": 8, "minibatch_size": 8, "micro_batch_size": 4, "kl_coefficient": 0.05}


class RecordingScorer(CountingScorer):
    """Keeps what it scored."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self.steps: list[dict[str, list[Any]]] = []

    def score(self, contexts: Sequence, prompts: Sequence, responses: Sequence[Sequence[int]]) -> list[float]:
        scores = super().score(contexts, prompts, responses)
        step = {"prompts": [list(p) for p in prompts], "responses": [list(r) for r in responses], "scores": scores}
        self.steps.append(step)
        return scores


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_updates_are_trls(optimizer: str, forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path) -> None:
    """Two steps of two passes: the second pass has ratios other than 1, the second step a KL other than 0."""
    spec = make_spec(
        tmp_path, tiny_llama_dir, optimizer=optimizer, steps=2, temperature=0.8, max_new_tokens=8, **GROUPS
    )
    loop = make_loop(spec)
    loop.validation = []
    loop.scorer = recorder = RecordingScorer(loop.tokenizer)  # type: ignore[assignment]
    state = loop.run(lambda step, metrics: None)
    (spec.work_dir / RECORDED).write_text(json.dumps(recorder.steps))
    forked_jobs.run("tests.models.jobs.trl_groups", spec)
    theirs = json.loads((spec.output_dir / LOSSES).read_text())
    for step, measured in state.history:
        updates = theirs[(step - 1) * spec.epochs : step * spec.epochs]
        found = [measured["loss"], measured["grad_norm"]]
        assert found == pytest.approx([mean(update[k] for update in updates) for k in (0, 1)], abs=1e-5, rel=1e-3)
    weights = load_file(spec.output_dir / "model" / "model.safetensors")
    start = load_file(tiny_llama_dir / "model.safetensors")
    after = loop.policy.model.state_dict()
    ours, theirs = (torch.cat([(end[n] - start[n]).flatten() for n in weights]) for end in (after, weights))
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-3, "the weights' changes are the same"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rloo", "grpo"])
def test_scores_rise_and_no_value_head_is_learnt(optimizer: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    sizes = GROUPS | {"rollouts": 32, "minibatch_size": 32, "micro_batch_size": 32, "value_warmup_steps": 3}
    spec = make_spec(tmp_path, tiny_llama_dir, optimizer=optimizer, steps=12, learning_rate=1e-2, top_p=0.95, **sizes)
    loop = make_loop(spec)
    state = loop.run(lambda step, metrics: None)
    scores = [metrics["score"] for _, metrics in state.history if "score" in metrics]
    assert scores[-1] > scores[0] + 0.15
    assert not [name for _, metrics in state.history for name in metrics if name.startswith("value")]
    checks = {step: metrics["validation_objective"] for step, metrics in state.history if "validation_score" in metrics}
    assert state.best_step == max((step for step in checks if step), key=lambda step: (checks[step], -step))
    best = loop.checkpoints / "best" / f"step-{state.best_step}"
    assert {path.name for path in best.glob("*.safetensors")} == {"model.safetensors"}
    rollouts = list(Rollout.read_files(sorted((spec.output_dir / "rollouts").glob("*.parquet"))))
    assert len(rollouts) == 12 * 32
    groups = [rollouts[i : i + 4] for i in range(0, len(rollouts), 4)]
    assert all(len({rollout.prompt_id for rollout in group}) == 1 for group in groups)
    for rollout in rollouts:
        assert rollout.reward == pytest.approx(rollout.score - 0.05 * rollout.kl, abs=1e-4)
