"""Job: RLOO or GRPO of the SFT policy against the reward model by TRL's trainers, alternatives to PPO (`policy.optimizer`).

Both need no value head: a sample's advantage is its score against the other samples of its prompt, RLOO's against their
mean (Ahmadian et al. 2024), GRPO's standardised within the group (Shao et al. 2024). RLOO takes the KL off the score, GRPO
adds it to the loss. A step is `policy.rollouts` samples and `policy.epochs` passes over them, as in PPO; prompts, scores, clip
and missing-end penalty are PPO's own.

Departures: the last model is the one that is kept, validation prompts are left out; plain, on one process.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError
from data_contracts.rollouts import Rollouts
from data_contracts.training_sections import PolicyOptimizer
from data_contracts.training_specs import PPOSpec, ScoreSource
from models.chat_template import fit_embeddings, prepare_tokenizer
from models.jobs.batch_stream import batch_layout, endless_order
from models.jobs.entry import run
from models.jobs.optimize_policy import check_lengths
from models.jobs.protocol import read_spec, write_manifest
from models.ppo_prompts import Prompt, read_prompts
from models.ppo_scoring import RunningMoments, shape_scores
from models.tokenizer_check import check_tokenizer

JOB = "models.jobs.optimize_by_groups"
ROLLOUTS_NAME = "rollouts"


def check_spec(spec: PPOSpec) -> None:
    """Refuse what these trainers are not run with, naming the field."""
    run_with = spec.training
    refused = {
        "training.processes above 1": run_with.processes > 1,
        "training.zero_stage": run_with.zero_stage > 0,
        "training.lora_rank": run_with.lora_rank > 0,
    }
    for name, asked in refused.items():
        if asked:
            raise ConfigError(f"policy.optimizer {spec.optimizer} does not go with {name} yet; leave it out")


def updates_per_step(spec: PPOSpec) -> int:
    """Updates of the weights between two rounds of sampling."""
    return spec.epochs * spec.rollouts // spec.minibatch_size


def prompt_stream(spec: PPOSpec, prompts: int) -> list[int]:
    """Numbers of all prompts that will be sampled from, in order: one long epoch, so that a resumed run sees the same."""
    return endless_order(prompts, spec.steps * spec.rollouts // spec.samples_per_prompt, spec.seed).tolist()


def names_by_update(spec: PPOSpec, names: Sequence[str]) -> list[str]:
    """For every update in turn, `minibatch_size` names out of those its step sampled from, for messages."""
    each = spec.rollouts // spec.samples_per_prompt
    steps = [list(names[start : start + each]) for start in range(0, len(names), each)]
    return [n for s in steps for n in (s * spec.minibatch_size)[: spec.minibatch_size] * updates_per_step(spec)]


class GroupScorer:
    """The reward function of TRL's trainers; keeps what it saw last for the table of rollouts."""

    __name__ = "reward_model"

    def __init__(self, spec: PPOSpec, scorer: Any, prompts: Sequence[Prompt]) -> None:
        self._spec, self._scorer, self._prompts = spec, scorer, prompts
        self.rows: list[dict[str, Any]] = []

    def __call__(self, prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        """Scores as PPO shapes them; `prompts` are numbers of our prompts as text."""
        chosen = [self._prompts[int(number)] for number in prompts]
        end = self._scorer.tokenizer.eos_token_id
        raw = self._scorer.score([p.context for p in chosen], [p.ids for p in chosen], completion_ids)
        ended = [ids[-1] == end for ids in completion_ids]
        shaped = shape_scores(raw, ended, self._spec, RunningMoments()).tolist()
        self.rows = [
            {"prompt": prompt, "ids": ids, "ended": done, "score": score, "shaped": value}
            for prompt, ids, done, score, value in zip(chosen, completion_ids, ended, raw, shaped, strict=True)
        ]
        return shaped


def write_rollouts(
    spec: PPOSpec, step: int, tokenizer: Any, seen: Sequence[dict[str, Any]], sums: dict[str, Any]
) -> None:
    """A step's part; `sums` hold each row's log-probability and KL."""
    rows = [
        {
            "rollout_id": f"{step}-{i}",
            "step": step,
            "prompt_id": row["prompt"].prompt_id,
            "query_id": row["prompt"].query_id,
            "split": row["prompt"].split,
            "prompt": tokenizer.decode(row["prompt"].ids, skip_special_tokens=True),
            "response": tokenizer.decode(row["ids"], skip_special_tokens=True).strip(),
            "tokens": len(row["ids"]),
            "finish_reason": "end" if row["ended"] else "length",
            "score": row["score"],
            "kl": sums["kl"][i],
            "reward": row["shaped"] - spec.kl_coefficient * sums["kl"][i],
            "logprob": sums["logprob"][i],
        }
        for i, row in enumerate(seen)
    ]
    Rollouts.write_part(Rollouts.from_rows(rows), spec.output_dir / ROLLOUTS_NAME / f"part-{step:05d}.parquet")


def trainer_class(
    spec: PPOSpec, prompts: Sequence[Prompt], on_rollouts: Callable[[int, dict[str, Any]], None]
) -> tuple[Any, Any]:
    """TRL's trainer of the spec's optimizer, on prompts as we render them, and its configuration's class."""
    import torch

    if spec.optimizer is PolicyOptimizer.RLOO:
        from trl.trainer.rloo_config import RLOOConfig as Config
        from trl.trainer.rloo_trainer import RLOOTrainer as Trainer
    else:
        from trl.trainer.grpo_config import GRPOConfig as Config
        from trl.trainer.grpo_trainer import GRPOTrainer as Trainer

    class PromptedTrainer(Trainer):  # type: ignore[valid-type,misc]
        def _tokenize_prompts(self, prompts_: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [prompts[int(number)].ids for number in prompts_], None, {}

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            found = super()._generate_and_score_completions(inputs)
            on_rollouts(self.state.global_step // updates_per_step(spec) + 1, self._sums(found))
            return found

        @torch.no_grad()
        def _sums(self, found: dict[str, Any]) -> dict[str, Any]:
            """Log-probability and KL (k1) of each completion."""
            mask = found["completion_mask"]
            ids = torch.cat([found["prompt_ids"], found["completion_ids"]], dim=1)
            attention = torch.cat([found["prompt_mask"], mask], dim=1)
            own, theirs = (
                self._get_per_token_logps_and_entropies(model, ids, attention, mask.size(1), spec.micro_batch_size)[0]
                for model in (self.model, self.ref_model)
            )
            return {"logprob": (own * mask).sum(dim=1).tolist(), "kl": ((own - theirs) * mask).sum(dim=1).tolist()}

    return PromptedTrainer, Config


def trainer_arguments(spec: PPOSpec) -> dict[str, Any]:
    """The fields of RLOOConfig and GRPOConfig that follow from the spec."""
    from models.jobs import trl_training as shared

    layout = batch_layout(spec.minibatch_size, spec.micro_batch_size, 1)
    total = spec.steps * updates_per_step(spec)
    settings = shared.trainer_settings(spec, layout, total)
    for name in ("train_sampling_strategy", "max_length", "num_train_epochs"):
        del settings[name]
    settings |= {
        "max_steps": total,
        "save_steps": spec.training.save_every * updates_per_step(spec),
        "generation_batch_size": spec.rollouts,
        "num_generations": spec.samples_per_prompt,
        "num_iterations": spec.epochs,
        "shuffle_dataset": False,
        "max_completion_length": spec.max_new_tokens,
        "temperature": spec.temperature,
        "top_p": spec.top_p,
        "top_k": 0,
        "beta": spec.kl_coefficient,
        "epsilon": spec.clip_range,
    }
    return settings | ({} if spec.optimizer is PolicyOptimizer.RLOO else {"loss_type": "grpo"})


def main() -> None:
    """Train and write `model`, `rollouts`, `training_log` and the manifest."""
    spec = read_spec(PPOSpec)
    check_spec(spec)
    import torch
    from datasets import Dataset
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from models.deepspeed.policy_engine import compute_device
    from models.jobs import trl_training as shared
    from models.ppo_model import open_scorer

    torch.set_num_threads(spec.training.threads_per_process)
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    prepare_tokenizer(tokenizer)
    check_tokenizer(tokenizer)
    scored_by_model = spec.score_source is ScoreSource.REWARD_MODEL
    folders = [spec.policy, *([spec.reward_model] if scored_by_model else [])]
    check_lengths(spec, *(AutoConfig.from_pretrained(folder) for folder in folders))
    prompts, _, count = read_prompts(spec.model_copy(update={"validation_share": 0.0}), tokenizer)
    model = AutoModelForCausalLM.from_pretrained(spec.policy, dtype=torch.float32)
    fit_embeddings(model, tokenizer)
    scorer = GroupScorer(spec, open_scorer(spec, tokenizer, compute_device(spec.training)), prompts)
    stream = prompt_stream(spec, len(prompts))
    names = names_by_update(spec, [prompts[number].prompt_id for number in stream])
    trainer_type, config = trainer_class(
        spec, prompts, lambda step, sums: write_rollouts(spec, step, tokenizer, scorer.rows, sums)
    )
    trainer = trainer_type(
        model=model,
        reward_funcs=scorer,
        args=config(**trainer_arguments(spec)),
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in stream]}),
        processing_class=tokenizer,
        callbacks=[shared.TrainingWatch(names, spec.minibatch_size, spec.training.keep_checkpoints)],
    )
    shared.train(trainer, spec)
    shared.save_model(trainer, spec)
    metrics = shared.write_log(trainer, spec) | count.metrics()
    outputs = {"model": shared.MODEL_NAME, "last_model": shared.MODEL_NAME, "rollouts": ROLLOUTS_NAME}
    write_manifest(spec, JOB, outputs | {"training_log": shared.LOG_NAME}, metrics | _ends(spec.output_dir))


def _ends(folder: Path) -> dict[str, float]:
    """Mean score and KL of the first and last step's rollouts."""
    parts = sorted((folder / ROLLOUTS_NAME).glob("part-*.parquet"))
    figures = {}
    for name, part in (("first", parts[0]), ("last", parts[-1])):
        rows = Rollouts.read_parts([part]).to_pylist()
        for column in ("score", "kl", "tokens"):
            figures[f"{name}_{column}"] = sum(row[column] for row in rows) / len(rows)
    return figures


if __name__ == "__main__":
    run(main)
