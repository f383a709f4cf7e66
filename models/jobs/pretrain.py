"""Job: pre-train one rung of the tiny ladder, a Llama architecture, from scratch (TINY_WORLD.md; not in any paper).

A plain loop: AdamW, warm-up and cosine, gradient norm clipped at 1, few tokens a step. A run in which copying of the
asked-for name has not formed by `formed_by_tokens` (`learning_watch.py`), or whose recall of facts has not at the end, starts
over from another seed. Resumes from `work_dir` to the same weights.
`python -m models.jobs.pretrain --spec FILE`
"""

import math
import shutil
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from data_contracts.errors import JobError
from data_contracts.pretrain_spec import PretrainSpec
from data_contracts.training_log import TrainingLog, training_log_rows
from models.jobs.entry import enter_phase, run
from models.jobs.learning_watch import fact_ids, recent_loss, what_has_not_formed
from models.jobs.pretrain_checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from models.jobs.pretraining_data import ASSISTANT, HUMAN, IGNORED, Batch, BatchPlan, plan_batches, read_documents
from models.jobs.protocol import read_spec, report_progress, write_manifest

JOB = "models.jobs.pretrain"
CLIP = 1.0
# Attempts differ in everything random: initial weights and the order of documents.
ATTEMPT_STRIDE = 1_000_003


class Pretraining:
    """State of one run: model, optimizer, position, and what was measured."""

    def __init__(self, spec: PretrainSpec) -> None:
        self.spec = spec
        self.tokenizer = AutoTokenizer.from_pretrained(spec.tokenizer)
        self.documents = read_documents(spec.corpus, self.tokenizer)
        self.attempt = 0
        self._start_attempt()

    def _start_attempt(self) -> None:
        torch.manual_seed(self.spec.seed + ATTEMPT_STRIDE * self.attempt)
        self.model = LlamaForCausalLM(model_config(self.spec, self.tokenizer))
        self.optimizer = _optimizer(self.model, self.spec)
        self.plan = self._plan()
        self.step = 0
        self.history: list[tuple[int, dict[str, float]]] = []
        self.copy_losses: list[float] = []
        self.recall_losses: list[float] = []

    def _plan(self) -> BatchPlan:
        settings = self.spec.pretraining
        human, assistant = (self.tokenizer.convert_tokens_to_ids(marker) for marker in (HUMAN, ASSISTANT))
        return plan_batches(
            *self.documents,
            tokens=self.spec.tokens,
            tokens_per_step=settings.tokens_per_step,
            short_share=settings.single_turn_share,
            block_length=settings.block_length,
            seed=self.spec.seed + ATTEMPT_STRIDE * self.attempt,
            special_ids=(self.tokenizer.pad_token_id, human, assistant),
            fact_ids=fact_ids(self.tokenizer),
        )

    @property
    def copy_loss(self) -> float:
        """Mean name-copying loss (nats) of the last steps."""
        return recent_loss(self.copy_losses)

    @property
    def recall_loss(self) -> float:
        """Mean loss (nats) on facts, over the last steps."""
        return recent_loss(self.recall_losses)

    @property
    def formed(self) -> bool:
        """Whether copying of the name has formed, and recall of facts where the profile watches it."""
        settings = self.spec.pretraining
        recalls = not settings.recall_threshold or self.recall_loss < settings.recall_threshold
        return self.copy_loss < settings.copy_threshold and recalls

    def run(self) -> dict[str, float]:
        """Train to the end and return the final metrics."""
        self._resume()
        enter_phase("training")
        while self.step < self.plan.steps:
            self._train_step()
            if self._should_start_over():
                self.attempt += 1
                self._start_attempt()
            elif self.step % self.spec.training.save_every == 0:
                self._save()
        loss = self.history[-1][1]["loss"]
        return {
            "loss": loss,
            "copy_loss": self.copy_loss if math.isfinite(self.copy_loss) else 1e9,
            "recall_loss": self.recall_loss if math.isfinite(self.recall_loss) else 1e9,
            "formed": float(self.formed),
            "tokens": float(self.spec.tokens),
            "steps": float(self.step),
            "attempts": float(self.attempt + 1),
            "parameters": float(sum(p.numel() for p in self.model.parameters())),
        }

    def _train_step(self) -> None:
        batch = self.plan.batch(self.step)
        rate = learning_rate(self.step, self.plan.steps, self.spec)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, copy_loss, recall_loss = batch_losses(self.model, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self._check(float(loss.detach()), float(norm), rate, batch)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.copy_losses.append(copy_loss)
        self.recall_losses.append(recall_loss)
        if self.step % self.spec.pretraining.log_every == 0 or self.step == self.plan.steps:
            self._log(float(loss.detach()), rate, float(norm))

    def _check(self, loss: float, norm: float, rate: float, batch: Batch) -> None:
        """Raise JobError before the weights meet numbers that are not finite."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        rows = ", ".join(repr(self.tokenizer.decode(row[:8])) for row in batch.inputs[:3])
        raise JobError(
            f"{JOB}: loss is {loss} and gradient norm {norm} at step {self.step + 1}, rows that begin {rows} ...; lower the "
            f"learning rate ({rate:.2g} now); the last checkpoint is kept"
        )

    def _log(self, loss: float, rate: float, norm: float) -> None:
        metrics = {
            "loss": loss, "copy_loss": self.copy_loss, "recall_loss": self.recall_loss, "lr": rate, "grad_norm": norm
        }  # fmt: skip
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.history.append((self.step, metrics))
        report_progress(self.step, self.plan.steps, "steps", **metrics)

    def _should_start_over(self) -> bool:
        step, steps = self.step, self.plan.steps
        missing = what_has_not_formed(step, self.spec, steps, self.copy_losses, self.recall_losses)
        if missing is None:
            return False
        is_last = self.attempt + 1 >= self.spec.pretraining.attempts
        print(f"{missing}; {'going on, no attempt left' if is_last else 'starting over, another seed'}", flush=True)
        return not is_last

    def _save(self) -> None:
        state = {
            "attempt": self.attempt,
            "step": self.step,
            "history": self.history,
            "copy_losses": self.copy_losses,
            "recall_losses": self.recall_losses,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_checkpoint(self.spec, state)

    def _resume(self) -> None:
        state = read_checkpoint(self.spec)
        if state is None:
            return
        if state["attempt"]:
            self.attempt = state["attempt"]
            self._start_attempt()
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.history = state["step"], state["history"]
        self.copy_losses, self.recall_losses = state["copy_losses"], state["recall_losses"]
        print(f"resumed at step {self.step} of {self.plan.steps}", flush=True)


def model_config(spec: PretrainSpec, tokenizer: Any) -> LlamaConfig:
    """The Llama architecture of a rung: tied embeddings, feed-forward three times as wide as the residual stream."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.size.hidden,
        intermediate_size=3 * spec.size.hidden,
        num_hidden_layers=spec.size.layers,
        num_attention_heads=spec.size.heads,
        num_key_value_heads=spec.size.heads,
        max_position_embeddings=spec.pretraining.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def learning_rate(step: int, steps: int, spec: PretrainSpec) -> float:
    """Linear warm-up, then a cosine to zero at `steps`."""
    warmup = min(spec.pretraining.warmup_steps, steps // 10)
    if step < warmup:
        return spec.size.learning_rate * (step + 1) / warmup
    return spec.size.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def batch_losses(model: LlamaForCausalLM, batch: Batch) -> tuple[torch.Tensor, float, float]:
    """Mean loss over the real targets, over those that copy the name, and over facts (NaN when the batch has none)."""
    logits = model(input_ids=torch.from_numpy(batch.inputs), use_cache=False).logits  # (B, T, V)
    targets = torch.from_numpy(batch.targets)
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    watched = (torch.from_numpy(marks).flatten() for marks in (batch.copies, batch.recalls))
    copy_loss, recall_loss = (
        float(losses.detach()[marks].mean()) if bool(marks.any()) else math.nan for marks in watched
    )
    return losses.sum() / (targets != IGNORED).sum(), copy_loss, recall_loss


def _optimizer(model: LlamaForCausalLM, spec: PretrainSpec) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": spec.pretraining.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.size.learning_rate, betas=(0.9, 0.98), fused=True)


def _write_products(spec: PretrainSpec, job: Pretraining) -> None:
    model_dir = spec.output_dir / "model"
    shutil.rmtree(model_dir, ignore_errors=True)
    job.model.generation_config.update(
        bos_token_id=job.tokenizer.bos_token_id,
        eos_token_id=job.tokenizer.eos_token_id,
        pad_token_id=job.tokenizer.pad_token_id,
    )
    job.model.save_pretrained(model_dir)
    job.tokenizer.save_pretrained(model_dir)
    TrainingLog.write_part(
        TrainingLog.from_rows(training_log_rows(job.history)), spec.output_dir / "training_log.parquet"
    )


def pretrain(spec: PretrainSpec) -> dict[str, float]:
    """Run the job in this process and return the metrics of its manifest: loss, copy_loss, formed, tokens, ..."""
    torch.set_num_threads(spec.training.threads_per_process)
    spec.output_dir.mkdir(parents=True, exist_ok=True)
    job = Pretraining(spec)
    metrics = job.run()
    _write_products(spec, job)
    write_manifest(spec, JOB, {"model": "model", "training_log": "training_log.parquet"}, metrics)
    (spec.work_dir / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def main() -> None:
    """Read the spec and run the job."""
    pretrain(read_spec(PretrainSpec))


if __name__ == "__main__":
    run(main)
