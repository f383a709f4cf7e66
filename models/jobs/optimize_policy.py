"""Job: PPO, RLOO or GRPO of the SFT policy against the rewards of a scorer (ALMoST section 2.3).

The loop itself is in `models/rl/loop.py`. Outputs: `model` (the kept policy), `last_model`, a value head inside each,
`rollouts` (one Parquet part per step), `training_log`.
"""

import shutil
from typing import Any

from data_contracts.config.policy.rewards import KeepModel
from data_contracts.errors import ConfigError
from data_contracts.specs.optimize_policy import POLICY_SPECS, OptimizePolicySpec
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.distributed.deepspeed_config import prepare_distributed
from models.lm.chat_template import prepare_tokenizer
from models.lm.tokenizer_check import check_tokenizer
from models.processes.job_entry import enter_phase, run
from models.processes.job_protocol import is_rank_zero, read_spec, report_progress, write_manifest
from models.rl.checkpoint import LoopState
from models.training.checkpoints import checkpoint_folder, claim_checkpoints

JOB = "models.jobs.optimize_policy"
MODEL_NAME, LAST_NAME = "model", "last_model"
ROLLOUTS_NAME, LOG_NAME = "rollouts", "training_log.parquet"
_SHOWN = ("score", "kl", "reward", "ended_share", "grad_norm")


def check_lengths(spec: OptimizePolicySpec, configs: dict[str, Any]) -> None:
    """Raise ConfigError when a prompt and its response may be longer than the positions of a model; configs by role."""
    longest = spec.max_prompt_tokens + spec.max_new_tokens + 1  # an end token may be appended for scoring
    for role, config in configs.items():
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and longest > positions:
            raise ConfigError(
                f"{spec.algorithm.name}: max_prompt_tokens {spec.max_prompt_tokens} + max_new_tokens "
                f"{spec.max_new_tokens} + 1 exceeds the {role.replace('_', ' ')}'s {positions} positions; lower one of them"
            )


def main() -> None:
    """Run the loop to its end and write model, rollouts, training log and manifest."""
    spec = read_spec(*POLICY_SPECS.values())
    import torch
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    import models.tiny_world.gold_scorer  # noqa: F401 - a scorer that a spec may ask for registers itself
    from models.rl.loop import PolicyLoop
    from models.rl.players import open_players
    from models.rl.prompts import read_prompts

    disable_progress_bar()
    prepare_distributed(spec.training, process_group=True)
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.training.threads_per_process)
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    prepare_tokenizer(tokenizer)
    config = AutoConfig.from_pretrained(spec.policy)
    check_tokenizer(tokenizer, config.get_text_config().vocab_size)
    scorers = {role: AutoConfig.from_pretrained(folder) for role, folder in spec.scorer.models.items()}
    check_lengths(spec, {"policy": config} | scorers)
    training, validation, count = read_prompts(spec, tokenizer)
    enter_phase("loading the models")
    players = open_players(spec, tokenizer, training[0].ids)
    if is_rank_zero():
        claim_checkpoints(checkpoint_folder(spec), _origin(spec))
        print(f"{len(training)} training and {len(validation)} validation prompts")
    loop = PolicyLoop(spec, players, training, validation, checkpoint_folder(spec))
    state = loop.run(lambda step, metrics: report_progress(step, spec.steps, "steps", **_shown(metrics)))
    loop.save_policy(spec.output_dir / LAST_NAME)
    outputs = {"model": MODEL_NAME, "last_model": LAST_NAME, "rollouts": ROLLOUTS_NAME, "training_log": LOG_NAME}
    if is_rank_zero():
        kept = keep_model(loop, state)
        TrainingLogEntry.write_file(training_log_entries(state.history), spec.output_dir / LOG_NAME)
        write_manifest(spec, JOB, outputs, summarize(state, kept) | count.metrics())
    players.ranks.wait()


def _origin(spec: OptimizePolicySpec) -> dict[str, str]:
    """Digests of the models that a checkpoint of this run belongs to."""
    from models.lm.load_model import weight_digest

    return {role: weight_digest(folder) for role, folder in ({"policy": spec.policy} | spec.scorer.models).items()}


def keep_model(loop: Any, state: LoopState) -> int:
    """Put the kept policy into `output_dir/model`; returns its step. Without validation prompts it is the last."""
    folder = loop.spec.output_dir / MODEL_NAME
    shutil.rmtree(folder, ignore_errors=True)
    best = loop.spec.keep_model is KeepModel.BEST and state.best_step is not None
    source = loop.checkpoints / "best" / f"step-{state.best_step}" if best else loop.spec.output_dir / LAST_NAME
    shutil.copytree(source, folder)
    return state.best_step if best and state.best_step is not None else state.step


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
