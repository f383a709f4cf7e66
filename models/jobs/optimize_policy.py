"""Job: PPO of the SFT policy against the reward model (ALMoST section 2.3). The loop itself is in `models/ppo_loop.py`.

Outputs: `model` (the kept policy), `value_head` inside it, `rollouts` (one Parquet part per step), `training_log`.
"""

import shutil
from typing import Any

from data_contracts.errors import ConfigError
from data_contracts.job_spec import TrainingSettings
from data_contracts.training_log import TrainingLog, training_log_rows
from data_contracts.training_specs import KeepModel, PPOSpec, ScoreSource
from models.chat_template import fit_embeddings, prepare_tokenizer
from models.deepspeed.config import on_cpu
from models.jobs.entry import run
from models.jobs.protocol import read_spec, report_progress, write_manifest
from models.jobs.training_checkpoints import checkpoint_folder
from models.ppo_checkpoint import LoopState
from models.tokenizer_check import check_tokenizer

JOB = "models.jobs.optimize_policy"
MODEL_NAME, ROLLOUTS_NAME, LOG_NAME = "model", "rollouts", "training_log.parquet"
_SHOWN = ("score", "kl", "reward", "ended_share", "grad_norm")


def check_spec(spec: PPOSpec) -> None:
    """Refuse what PPO cannot do yet, naming the field."""
    run_with: TrainingSettings = spec.training
    refused = {
        "training.zero_stage": run_with.zero_stage > 0,
        "training.processes": run_with.processes > 1,
        "training.lora_rank": run_with.lora_rank > 0,
        "training.offload": run_with.offload,
    }
    for name, wrong in refused.items():
        if wrong:
            raise ConfigError(f"PPO runs in one process with all weights for now: {name} must keep its default")
    if spec.top_p < 1:
        raise ConfigError(
            f"PPO: top_p is {spec.top_p}, but must be 1: a token outside the nucleus has no probability to learn from"
        )
    if spec.minibatch_size > spec.rollouts:
        raise ConfigError(f"PPO: minibatch_size {spec.minibatch_size} is more than rollouts {spec.rollouts}")


def _check_lengths(spec: PPOSpec, *configs: Any) -> None:
    longest = spec.max_prompt_tokens + spec.max_new_tokens + 1  # an end token may be appended for scoring
    for name, config in zip(("policy", "reward model"), configs, strict=False):
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and longest > positions:
            raise ConfigError(
                f"PPO: max_prompt_tokens {spec.max_prompt_tokens} + max_new_tokens {spec.max_new_tokens} + 1 exceeds the "
                f"{name}'s {positions} positions; lower one of them"
            )


def main() -> None:
    """Run PPO to its end and write model, rollouts, training log and manifest."""
    spec = read_spec(PPOSpec)
    check_spec(spec)
    import torch
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from models.ppo_loop import PPOLoop
    from models.ppo_policy import PolicyWithValue, check_output_path, freeze_lower_layers, load_causal
    from models.ppo_prompts import read_prompts

    disable_progress_bar()
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.training.threads_per_process)
    device = torch.device("cpu" if on_cpu(spec.training) else "cuda")
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    prepare_tokenizer(tokenizer)
    model, reference = load_causal(spec.policy, device), load_causal(spec.policy, device)
    for part in (model, reference):
        fit_embeddings(part, tokenizer)
    check_tokenizer(tokenizer, model.get_input_embeddings().weight.shape[0])
    scorer = open_scorer(spec, tokenizer, str(device))
    _check_lengths(spec, model.config, *([scorer.reward_model.model.config] if hasattr(scorer, "reward_model") else []))
    training, validation, count = read_prompts(spec, tokenizer)
    check_output_path(model, training[0].ids)
    freeze_lower_layers(model, spec.unfrozen_layers)
    reference.requires_grad_(False)
    if spec.training.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.train()  # dropout is off; transformers checkpoints activations in training mode only
    policy = PolicyWithValue(model, detach_value=spec.detach_value, entropy_gradient=spec.entropy_coefficient > 0).to(
        device
    )
    print(f"{len(training)} training and {len(validation)} validation prompts; shared token ids: {scorer.shares_ids}")
    loop = PPOLoop(spec, policy, reference, scorer, training, validation, checkpoint_folder(spec))
    state = loop.run(lambda step, metrics: report_progress(step, spec.steps, "steps", **_shown(metrics)))
    kept = keep_model(loop, state)
    log = TrainingLog.from_rows(training_log_rows(state.history))
    TrainingLog.write_part(log, spec.output_dir / LOG_NAME)
    outputs = {"model": MODEL_NAME, "rollouts": ROLLOUTS_NAME, "training_log": LOG_NAME}
    write_manifest(spec, JOB, outputs, summarize(state, kept) | count.metrics())


def open_scorer(spec: PPOSpec, tokenizer: Any, device: str) -> Any:
    """The reward model, or the tiny world's judge where a ceiling is asked for."""
    from models.ppo_scoring import RolloutScorer
    from models.reward_model import RewardModel
    from models.tiny_world.gold_scorer import GoldScorer
    from models.tiny_world.judge import GoldJudge
    from models.tiny_world.world import build_world

    if spec.score_source is ScoreSource.GOLD_JUDGE and spec.world is not None:
        return GoldScorer(GoldJudge(build_world(spec.world, spec.world_seed)), tokenizer)
    return RolloutScorer(RewardModel(spec.reward_model, batch_size=spec.micro_batch_size, device=device), tokenizer)


def keep_model(loop: Any, state: LoopState) -> int:
    """Put the kept policy into `output_dir/model`; returns its step. Without validation prompts it is the last."""
    folder = loop.spec.output_dir / MODEL_NAME
    shutil.rmtree(folder, ignore_errors=True)
    if loop.spec.keep_model is KeepModel.BEST and state.best_step is not None:
        shutil.copytree(loop.checkpoints / "best" / f"step-{state.best_step}", folder)
        return state.best_step
    loop.save_policy(folder)
    return state.step


def summarize(state: LoopState, kept_step: int) -> dict[str, float]:
    """First, last and mean figures of the run for the manifest; what was not measured is absent."""
    steps = [metrics for _, metrics in state.history if "score" in metrics]
    checks = [(step, metrics["validation_score"]) for step, metrics in state.history if "validation_score" in metrics]
    result = {"steps": float(len(steps)), "kept_step": float(kept_step)}
    for name in ("score", "kl", "reward", "ended_share", "response_tokens"):
        result[f"first_{name}"], result[f"last_{name}"] = steps[0][name], steps[-1][name]
    for name in ("kl", "clip_fraction", "grad_norm"):
        result[f"mean_{name}"] = sum(metrics[name] for metrics in steps) / len(steps)
    if checks:
        result["validation_score_before"], result["validation_score_last"] = checks[0][1], checks[-1][1]
        kept = [score for step, score in checks if step == kept_step]
        if kept:
            result["validation_score_kept"] = kept[0]
    return result


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in _SHOWN}


if __name__ == "__main__":
    run(main)
