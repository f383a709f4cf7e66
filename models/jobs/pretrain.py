"""Job: pre-train one rung of the tiny ladder, a Llama architecture, from scratch (not in any paper).

AdamW, warm-up and cosine, gradient norm clipped at 1, few tokens a step; plain, on several processes, or under ZeRO, with
the same updates (`models/pretraining/passes.py`). A run in which copying of the asked-for name has not formed by `formed_by_tokens`
(`learning_watch.py`), or recall of facts or the order of the things asked at the end, starts over from another seed. Resumes from `work_dir`
to the same weights.
`python -m models.jobs.pretrain --spec FILE`
"""

import math
import shutil

import torch
from transformers import AutoTokenizer

from data_contracts.errors import JobError
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.distributed.deepspeed_config import prepare_distributed
from models.distributed.deepspeed_engine import compute_device
from models.distributed.precision import Precision
from models.distributed.ranks import Ranks
from models.pretraining import checkpoint as checkpoints
from models.pretraining.batches import ASSISTANT, HUMAN, Batch, BatchPlan, plan_batches, read_documents
from models.pretraining.checkpoint import LoopState
from models.pretraining.layout import check_layout, new_model, open_engine
from models.pretraining.learning_watch import attribute_ids, fact_ids, recent_loss, what_has_not_formed
from models.pretraining.passes import own_passes, pass_losses, target_count, watched_mean
from models.processes.job_entry import enter_phase, run
from models.processes.job_protocol import is_rank_zero, read_spec, report_progress, write_manifest
from models.training.checkpoints import checkpoint_folder

JOB = "models.jobs.pretrain"
# Attempts differ in everything random: initial weights and the order of documents.
ATTEMPT_STRIDE = 1_000_003


class Pretraining:
    """State of one run: model, optimizer, position, and what was measured."""

    def __init__(self, spec: PretrainSpec) -> None:
        self.spec = spec
        self.tokenizer = AutoTokenizer.from_pretrained(spec.tokenizer)
        self.documents = read_documents(spec.corpus, self.tokenizer)
        self.ranks, self.device = Ranks(), compute_device(spec.training)
        self._precision = Precision(self.device, spec.training.bf16)
        self._start_attempt(0)

    def _start_attempt(self, attempt: int) -> None:
        seed = self.spec.seed + ATTEMPT_STRIDE * attempt
        self.model = new_model(self.spec, self.tokenizer, seed, self.device)
        self.parameters = sum(p.numel() for p in self.model.parameters())  # before they are shared out
        self.engine = open_engine(self.spec, self.model, self.ranks)
        self.plan = self._plan(seed)
        self.state = LoopState(attempt)

    def _plan(self, seed: int) -> BatchPlan:
        settings = self.spec.pretraining
        human, assistant = (self.tokenizer.convert_tokens_to_ids(marker) for marker in (HUMAN, ASSISTANT))
        return plan_batches(
            *self.documents,
            tokens=self.spec.tokens,
            tokens_per_step=settings.tokens_per_step,
            short_share=settings.single_turn_share,
            block_length=settings.block_length,
            seed=seed,
            special_ids=(self.tokenizer.pad_token_id, human, assistant),
            fact_ids=fact_ids(self.tokenizer),
            attribute_ids=attribute_ids(self.tokenizer),
        )

    @property
    def watched(self) -> dict[str, float]:
        """Mean watched losses (nats) over the last steps: of copied names, facts, and the order of the things asked."""
        return {f"{name}_loss": recent_loss(losses) for name, losses in self.state.watched.items()}

    @property
    def formed(self) -> bool:
        """Whether copying of the name has formed, and what else the profile watches."""
        found, thresholds = self.watched, self.spec.thresholds
        return all(found[f"{name}_loss"] < most for name, most in thresholds.items() if most)

    def run(self) -> dict[str, float]:
        """Train to the end and return the final metrics."""
        self._resume()
        enter_phase("training")
        while self.state.step < self.plan.steps:
            self._train_step()
            if self._should_start_over():
                self._start_attempt(self.state.attempt + 1)
            elif self.state.step % self.spec.training.save_every == 0:
                self._save()
        return {
            "loss": self.state.history[-1][1]["loss"],
            **{name: loss if math.isfinite(loss) else 1e9 for name, loss in self.watched.items()},
            "formed": float(self.formed),
            "tokens": float(self.spec.tokens),
            "steps": float(self.state.step),
            "attempts": float(self.state.attempt + 1),
            "parameters": float(self.parameters),
            "processes": float(self.ranks.world),
            "zero_stage": float(self.spec.training.zero_stage),
        }

    def _train_step(self) -> None:
        batch = self.plan.batch(self.state.step)
        rate = learning_rate(self.state.step, self.plan.steps, self.spec)
        found = self._gradients(batch)
        norm = self.engine.step(rate)
        self._check(found["loss"], norm, rate, batch)
        self.state.step += 1
        for name in batch.watched:
            self.state.watched.setdefault(name, []).append(watched_mean(found, name))
        if self.state.step % self.spec.pretraining.log_every == 0 or self.state.step == self.plan.steps:
            self._log(found["loss"], rate, norm)

    def _gradients(self, batch: Batch) -> dict[str, float]:
        """Run this rank's passes over a step's rows; returns what all ranks' passes measured, added up."""
        passes = own_passes(batch, self.ranks.rank, self.ranks.world, self.spec.pretraining.micro_batch_tokens)
        targets = target_count(batch, self.device)
        measured: dict[str, float] = {}
        for number, part in enumerate(passes, start=1):
            with self._precision():
                loss, found = pass_losses(self.engine, part, targets, self.device)
            self.engine.backward(loss, last=number == len(passes))
            measured = {name: measured.get(name, 0.0) + value for name, value in found.items()}
        return self.ranks.total(measured)

    def _check(self, loss: float, norm: float, rate: float, batch: Batch) -> None:
        """Raise JobError at numbers that are not finite, before anything is saved."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        rows = ", ".join(repr(self.tokenizer.decode(row[:8])) for row in batch.inputs[:3])
        raise JobError(
            f"{JOB}: loss is {loss} and gradient norm {norm} at step {self.state.step + 1}, rows that begin {rows} ...; lower the "
            f"learning rate ({rate:.2g} now); the last checkpoint is kept"
        )

    def _log(self, loss: float, rate: float, norm: float) -> None:
        metrics = {"loss": loss, **self.watched, "lr": rate, "grad_norm": norm}
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self.state.history.append((self.state.step, metrics))
        report_progress(self.state.step, self.plan.steps, "steps", **metrics)

    def _should_start_over(self) -> bool:
        missing = what_has_not_formed(self.state.step, self.spec, self.plan.steps, self.state.watched)
        if missing is None:
            return False
        is_last = self.state.attempt + 1 >= self.spec.pretraining.attempts
        if self.ranks.is_first:
            print(f"{missing}; {'going on, no attempt left' if is_last else 'starting over, another seed'}", flush=True)
        return not is_last

    def _save(self) -> None:
        checkpoints.save(self.spec, self.state, self.plan.steps, self.engine, self.ranks)

    def _resume(self) -> None:
        if self.ranks.is_first:
            checkpoints.claim(self.spec)
        self.ranks.wait()
        found = checkpoints.newest(self.spec)
        if found is None:
            return
        if found.attempt:
            self._start_attempt(found.attempt)
        checkpoints.restore(self.spec, self.engine)
        self.state = found
        if self.ranks.is_first:
            print(f"resumed at step {found.step} of {self.plan.steps}", flush=True)


def learning_rate(step: int, steps: int, spec: PretrainSpec) -> float:
    """Linear warm-up, then a cosine to zero at `steps`."""
    warmup = min(spec.pretraining.warmup_steps, steps // 10)
    if step < warmup:
        return spec.size.learning_rate * (step + 1) / warmup
    return spec.size.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _write_products(spec: PretrainSpec, job: Pretraining) -> None:
    """Save model, tokenizer and log; all ranks take part."""
    state = job.engine.weights()
    if not job.ranks.is_first:
        return
    model_dir = spec.output_dir / "model"
    shutil.rmtree(model_dir, ignore_errors=True)
    job.model.generation_config.update(
        bos_token_id=job.tokenizer.bos_token_id,
        eos_token_id=job.tokenizer.eos_token_id,
        pad_token_id=job.tokenizer.pad_token_id,
    )
    tied = job.model.all_tied_weights_keys
    job.model.save_pretrained(model_dir, state_dict={name: v for name, v in state.items() if name not in tied})
    job.tokenizer.save_pretrained(model_dir)
    log = training_log_entries(job.state.history)
    TrainingLogEntry.write_file(log, spec.output_dir / "training_log.parquet")


def pretrain(spec: PretrainSpec) -> dict[str, float]:
    """Run the job in this process and return the metrics of its manifest: loss, copy_loss, formed, tokens, ..."""
    check_layout(spec.training)
    torch.set_num_threads(spec.training.threads_per_process)
    spec.output_dir.mkdir(parents=True, exist_ok=True)
    job = Pretraining(spec)
    metrics = job.run()
    _write_products(spec, job)
    write_manifest(spec, JOB, {"model": "model", "training_log": "training_log.parquet"}, metrics)
    if is_rank_zero():
        shutil.rmtree(checkpoint_folder(spec), ignore_errors=True)
    job.ranks.wait()
    return metrics


def main() -> None:
    """Read the spec and run the job."""
    spec = read_spec(PretrainSpec)
    prepare_distributed(spec.training, process_group=True)
    pretrain(spec)


if __name__ == "__main__":
    run(main)
