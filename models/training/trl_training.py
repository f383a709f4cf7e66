"""What the TRL jobs share: trainer settings, progress and number checks, resume, and what is saved at the end."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from data_contracts.config.optimizer_settings import Schedule
from data_contracts.errors import JobError
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.specs.optimize_by_preferences import PreferenceSpec
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.distributed.deepspeed_config import assert_zero_active, on_cpu, zero_config
from models.lm.load_model import weight_digest
from models.processes.job_entry import enter_phase
from models.processes.job_protocol import is_rank_zero, report_progress
from models.training.adapters import SCALE, merged_weights
from models.training.batch_stream import BatchLayout
from models.training.checkpoints import MARKER, checkpoint_folder, claim_checkpoints, forget_old, last_complete

MODEL_NAME, LOG_NAME = "model", "training_log.parquet"
TrlSpec = RewardSpec | FinetuneSpec | PreferenceSpec
disable_progress_bar()
_SCHEDULES = {Schedule.COSINE: "cosine", Schedule.LINEAR: "linear", Schedule.CONSTANT: "constant_with_warmup"}


def trainer_settings(spec: TrlSpec, layout: BatchLayout, steps: int) -> dict[str, Any]:
    """The arguments common to RewardConfig, SFTConfig and DPOConfig; rows come already ordered, so sampling is sequential."""
    run = spec.training
    cpu = on_cpu(run)
    return {
        "output_dir": str(checkpoint_folder(spec)),
        "per_device_train_batch_size": layout.micro,
        "gradient_accumulation_steps": layout.accumulation,
        "num_train_epochs": 1,  # the stream of rows already holds the epochs
        "train_sampling_strategy": "sequential",
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": _SCHEDULES[spec.schedule],
        "warmup_steps": int(spec.warmup_share * steps),  # rounded up, a short run would spend its only step at 0
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "optim": "adamw_torch",
        "seed": spec.seed,
        "data_seed": spec.seed,
        "bf16": run.bf16,
        "use_cpu": cpu,
        "ddp_backend": "gloo" if cpu and run.processes > 1 else None,
        "deepspeed": zero_config(run),
        "gradient_checkpointing": run.gradient_checkpointing,
        "dataloader_pin_memory": not cpu,
        "max_length": None,  # rows are cut and counted before
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": run.save_every,
        "report_to": "none",
        "disable_tqdm": True,
    }


class TrainingWatch(TrainerCallback):
    """Reports progress, stops at a number that is not finite, and marks checkpoints complete."""

    def __init__(self, row_ids: Sequence[str], batch_size: int, keep_checkpoints: int) -> None:
        self._row_ids, self._batch_size, self._keep = row_ids, batch_size, keep_checkpoints

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check the numbers of the last update, then report them."""
        logs = kwargs.get("logs") or {}
        if "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            value = float(logs.get(name, 0.0))
            if not math.isfinite(value):
                start = (state.global_step - 1) * self._batch_size
                rows = ", ".join(self._row_ids[start : start + self._batch_size][:8])
                raise JobError(
                    f"{name} is {value} at step {state.global_step}; rows {rows} ...; lower the learning rate, or look "
                    "at these rows"
                )
        shown = {name: float(logs[name]) for name in ("loss", "grad_norm", "accuracy") if name in logs}
        report_progress(state.global_step, state.max_steps, "steps", **shown)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Mark the checkpoint complete once every rank has written its part, and remove those it makes superfluous."""
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.barrier()
        if is_rank_zero():
            folder = Path(str(args.output_dir))
            (folder / f"checkpoint-{state.global_step}" / MARKER).touch()
            forget_old(folder, self._keep)


def lora_settings(spec: TrlSpec, task: str, whole: Sequence[str] = ()) -> Any:
    """The adapter configuration, the modules named in `whole` trained as they are; None when all weights are trained."""
    rank = spec.training.lora_rank
    if rank == 0:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=int(SCALE * rank),
        lora_dropout=0.0,
        target_modules="all-linear",
        modules_to_save=list(whole) or None,
        exclude_modules=list(whole) or None,
        task_type=task,
    )


def train(trainer: Any, spec: TrlSpec) -> None:
    """Train to the end, from the last complete checkpoint of this spec if there is one.

    Raises:
        ContractError: the checkpoints belong to another model or another version of this program.
    """
    trainer.remove_callback(PrinterCallback)
    if is_rank_zero():
        claim_checkpoints(checkpoint_folder(spec), {"base_model": weight_digest(spec.base_model)})
    enter_phase("training")
    checkpoint = last_complete(checkpoint_folder(spec))
    if is_rank_zero():
        start = f"from {checkpoint.name}" if checkpoint else "from the base model"
        print(f"training {start}: {spec.training.processes} process(es), ZeRO stage {spec.training.zero_stage}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    assert_zero_active(trainer, spec.training)


def save_model(trainer: Any, spec: TrlSpec) -> Path:
    """Save weights (safetensors, adapters merged) and tokenizer into `output_dir/model`; all ranks take part."""
    folder = spec.output_dir / MODEL_NAME
    if is_rank_zero():
        shutil.rmtree(folder, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    if spec.training.lora_rank or spec.training.zero_stage:
        _save_gathered(trainer, folder)
    else:
        trainer.save_model(str(folder))
    trainer.accelerator.wait_for_everyone()
    if is_rank_zero():
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle: the spec says it all
    return folder


def _save_gathered(trainer: Any, folder: Path) -> None:
    """Gather the weights from all ranks and save them as a plain run does: a tied weight once, adapters merged."""
    state = trainer.accelerator.get_state_dict(trainer.deepspeed or trainer.model)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if is_rank_zero():
        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        state = merged_weights({name: weight.detach().cpu() for name, weight in state.items()})
        tied = getattr(model, "all_tied_weights_keys", None) or {}
        weights = {name: weight for name, weight in state.items() if name not in tied}
        model.save_pretrained(folder, state_dict=weights)
        trainer.processing_class.save_pretrained(folder)


def forget_zero() -> None:
    """Let transformers load models whole again: while a ZeRO-3 configuration is known, it splits what it loads."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


def write_log(trainer: Any, spec: TrlSpec) -> dict[str, float]:
    """Write the training log and return steps, first and last loss, processes and ZeRO stage as metrics."""
    # num_tokens is a running sum that starts anew when a run resumes.
    skipped = {
        "num_tokens",
        "step",
        "epoch",
        "total_flos",
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
    }
    history = [
        (int(entry["step"]), {k: float(v) for k, v in entry.items() if k not in skipped and k != "train_loss"})
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    if is_rank_zero():
        TrainingLogEntry.write_file(training_log_entries(history), spec.output_dir / LOG_NAME)
    losses = [metrics["loss"] for _, metrics in history]
    engine = getattr(trainer, "deepspeed", None)
    measured = {  # as it ran, not as it was asked for
        "processes": float(trainer.accelerator.num_processes),
        "zero_stage": float(engine.zero_optimization_stage() if engine is not None else 0),
    }
    return {"steps": float(len(losses)), "first_loss": losses[0], "last_loss": losses[-1], **measured}
