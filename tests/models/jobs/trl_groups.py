"""TRL's RLOO or GRPO trainer on recorded responses and scores, as a job for `ForkedJobs`: whose numbers ours must be."""

import json
from typing import Any

from data_contracts.config.algorithm import Algorithm
from data_contracts.specs.optimize_policy import GRPOSpec, RLOOSpec
from models.processes.job_protocol import read_spec

RECORDED, LOSSES = "recorded.json", "losses.json"


def trainer_class(algorithm: Algorithm, steps: list[dict[str, list[Any]]]) -> tuple[Any, Any]:
    """The trainer, which samples nothing: it is handed each step's responses in turn; and its configuration's class."""
    if algorithm is Algorithm.RLOO:
        from trl.trainer.rloo_config import RLOOConfig as Config
        from trl.trainer.rloo_trainer import RLOOTrainer as Trainer
    else:
        from trl.trainer.grpo_config import GRPOConfig as Config
        from trl.trainer.grpo_trainer import GRPOTrainer as Trainer
    responses = iter([step["responses"] for step in steps])

    class RecordedTrainer(Trainer):  # type: ignore[valid-type,misc]
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [json.loads(prompt) for prompt in prompts], None, {}

        def _generate_single_turn(self, *_: Any, **__: Any) -> Any:
            found = next(responses)
            return found if algorithm is Algorithm.RLOO else (found, None)

    return RecordedTrainer, Config


def main() -> None:
    """Train, and leave the losses and gradient norms of all updates and the weights."""
    spec = read_spec(RLOOSpec, GRPOSpec)
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    steps = json.loads((spec.work_dir / RECORDED).read_text())
    scores = iter([step["scores"] for step in steps])
    trainer_type, config = trainer_class(spec.algorithm, steps)
    each = spec.samples_per_prompt
    model = AutoModelForCausalLM.from_pretrained(spec.policy, dtype=torch.float32)
    trainer = trainer_type(
        model=model,
        reward_funcs=lambda **_: next(scores),
        args=config(**arguments(spec)),
        train_dataset=Dataset.from_dict({"prompt": [json.dumps(p) for step in steps for p in step["prompts"][::each]]}),
        processing_class=AutoTokenizer.from_pretrained(spec.policy),
    )
    trainer.train()
    updates = [entry for entry in trainer.state.log_history if "loss" in entry]
    (spec.output_dir / LOSSES).write_text(json.dumps([[entry["loss"], entry["grad_norm"]] for entry in updates]))
    model.save_pretrained(spec.output_dir / "model")


def arguments(spec: RLOOSpec | GRPOSpec) -> dict[str, Any]:
    """RLOOConfig's or GRPOConfig's fields; a mini-batch is a whole step."""
    same = {"temperature": spec.temperature, "learning_rate": spec.learning_rate, "max_grad_norm": spec.max_grad_norm}
    settings = same | {
        "output_dir": str(spec.work_dir / "trl"),
        "max_steps": spec.steps * spec.epochs,
        "per_device_train_batch_size": spec.micro_batch_size,
        "gradient_accumulation_steps": spec.rollouts // spec.micro_batch_size,
        "generation_batch_size": spec.rollouts,
        "num_generations": spec.samples_per_prompt,
        "num_iterations": spec.epochs,
        "max_completion_length": spec.max_new_tokens,
        "shuffle_dataset": False,
        "beta": spec.kl_coefficient,
        "epsilon": spec.clip_range,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        "optim": "adamw_torch",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    return settings | ({} if spec.algorithm is Algorithm.RLOO else {"loss_type": "grpo"})
