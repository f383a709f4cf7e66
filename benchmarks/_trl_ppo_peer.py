"""TRL 1.12.0's PPOTrainer (the last release that has one) on the workload of `ppo_episode`.

`environment()` makes `.venv-trl-ppo` in the checkout on first use: TRL 1.12.0 alone, which sees the project's own torch
and transformers through a path file, so both sides compute with the same libraries. Run as a script inside it, this
file trains and prints seconds per step as JSON.

The value model shares the policy's trunk, as ours does; a value model of its own would learn twice the weights. TRL still
runs the trunk once for logits and once for values.
"""

import json
import site
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-trl-ppo"
PACKAGE = "trl==1.12.0"


def environment() -> Path:
    """The interpreter of the peer's environment."""
    python, marker = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed"
    if not marker.exists() or marker.read_text() != PACKAGE:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", PACKAGE], check=True)
        own = ENVIRONMENT / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        (own / "project.pth").write_text("\n".join(site.getsitepackages()))
        marker.write_text(PACKAGE)
    return python


def run_peer(settings: dict[str, Any]) -> dict[str, Any]:
    """Train in a process of the peer's environment; returns what it printed."""
    command = [environment(), Path(__file__), json.dumps(settings)]
    found = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(found.stdout.splitlines()[-1])


def main(settings: dict[str, Any]) -> None:
    """Train and print seconds per step; with `record`, save the first step's rollouts and what came of them."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback
    from transformers.trainer_callback import TrainerCallback
    from trl.experimental.ppo import (  # pyright: ignore[reportMissingImports] - of the peer's environment
        PPOConfig,
        PPOTrainer,
        ppo_trainer,
    )

    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    record: dict[str, Any] = {}
    ends: list[tuple[float, float]] = []

    class SharedValue(torch.nn.Module):
        """A value head on the policy's own trunk."""

        base_model_prefix = "model"

        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model.model
            self.score = torch.nn.Linear(model.config.hidden_size, 1)
            torch.nn.init.zeros_(self.score.weight)
            torch.nn.init.zeros_(self.score.bias)

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.process_time(), time.perf_counter()))
            if settings["record"] and "weights" not in record:
                record["weights"] = {name: value.clone() for name, value in policy.state_dict().items()}
                record["value"] = {name: value.clone() for name, value in value_model.score.state_dict().items()}

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            record.setdefault("metrics", dict(logs or {}))

    def recording(name: str, call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = call(*args, **kwargs)
            if name == "rollouts" or args[0] is reward_model:
                part = found[0] if name == "rollouts" else found[1]
                record.setdefault(name, []).append(part.clone())
            return found

        return wrapped

    tokenizer = AutoTokenizer.from_pretrained(settings["policy"])
    policy, reference = (AutoModelForCausalLM.from_pretrained(settings["policy"]) for _ in range(2))
    reward_model = AutoModelForSequenceClassification.from_pretrained(settings["reward_model"], num_labels=1)
    value_model = SharedValue(policy)
    if settings["record"]:
        ppo_trainer.batch_generation = recording("rollouts", ppo_trainer.batch_generation)
        ppo_trainer.get_reward = recording("scores", ppo_trainer.get_reward)
    prompts = torch.load(settings["prompts"], weights_only=True)
    trainer = PPOTrainer(
        args=PPOConfig(**arguments(settings)),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward_model,
        value_model=value_model,
        train_dataset=Dataset.from_dict({"input_ids": prompts.tolist()}),
        eval_dataset=Dataset.from_dict({"input_ids": prompts[:1].tolist()}),
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if settings["record"]:
        steps = {
            name: found[: len(found) // settings["steps"]]
            for name, found in record.items()
            if name in ("rollouts", "scores")
        }
        torch.save(record | {name: torch.cat(found) for name, found in steps.items()}, settings["record"])
    cpu, wall = ([after[k] - before[k] for before, after in pairwise(ends)] for k in (0, 1))
    print(json.dumps({"cpu_s": cpu, "wall_s": wall}))


def arguments(settings: dict[str, Any]) -> dict[str, Any]:
    """PPOConfig's fields."""
    batch, micro = settings["batch"], settings["micro"]
    return {
        "output_dir": settings["output_dir"], "seed": settings["seed"], "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro, "num_mini_batches": 1, "num_ppo_epochs": settings["epochs"],
        "total_episodes": batch * settings["steps"], "local_rollout_forward_batch_size": batch,
        "response_length": settings["new_tokens"], "temperature": 1.0, "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": "constant", "adam_beta2": 0.95, "weight_decay": 0.0, "kl_coef": settings["kl_coefficient"],
        "vf_coef": 1.0, "cliprange": 0.2, "cliprange_value": 0.2, "gamma": 1.0, "lam": 0.95, "whiten_rewards": False,
        "num_sample_generations": 0, "logging_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True,
        "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False, "disable_tqdm": True,
    }  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
