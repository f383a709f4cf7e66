"""Learning from rewards from end to end: sample, score, update, validate, checkpoint (ALMoST section 2.3).

The loop is the same for PPO, RLOO and GRPO; what differs is a class of `models/rl/algorithms.py`.

Departures: 1. the paper prints no PPO settings, so trlX's defaults stand in (`data_contracts/config/policy/ppo.py`).
2. A share of the queries is kept out of training; the model that is kept is the one whose fresh samples score highest
on them, the missing-end penalty included (`keep_model: best`; a tie goes to the earlier step, and the SFT model itself
is only the baseline). This is the reward model's own opinion, not the truth: it cannot see reward hacking.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.config.optimizer_settings import Schedule
from data_contracts.config.policy.rewards import KeepModel, ScoreNormalization
from data_contracts.errors import EngineError, JobError
from data_contracts.finish_reason import FinishReason
from data_contracts.specs.optimize_policy import OptimizePolicySpec
from data_contracts.tables.rollouts import Rollout
from models.processes.job_entry import enter_phase
from models.rl import checkpoint
from models.rl.checkpoint import LoopState
from models.rl.experience import Experience, check_finite, gather_experience
from models.rl.players import Players, save_policy
from models.rl.ppo_math import adapt_kl_coefficient
from models.rl.prompts import Prompt
from models.rl.rollouts import Response, Sampling, sample_responses, uniforms
from models.rl.scoring import shape_scores
from models.rl.update import Updater
from models.training.batch_stream import endless_order

BEST_NAME = "best"
_SAMPLING, _VALIDATION = 7, 9  # names of random streams beside the seed


def learning_rate_factors(spec: OptimizePolicySpec) -> Callable[[int], float]:
    """The factor on the learning rate as a function of the update's number."""
    total = spec.steps * spec.epochs * math.ceil(spec.rollouts / spec.minibatch_size)
    warmup = int(spec.warmup_share * total)

    def factor(update: int) -> float:
        if update < warmup:
            return (update + 1) / (warmup + 1)
        progress = (update - warmup) / max(total - warmup, 1)
        match spec.schedule:
            case Schedule.CONSTANT:
                return 1.0
            case Schedule.LINEAR:
                return 1.0 - progress
            case Schedule.COSINE:
                return 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor


@dataclass
class Sampled:
    """Responses to prompts and the scorer's raw scores."""

    prompts: list[Prompt]
    responses: list[Response]
    scores: list[float]
    ended: list[bool]


class PolicyLoop:
    """Holds the models and the loop's state; `run` does the work."""

    def __init__(
        self,
        spec: OptimizePolicySpec,
        players: Players,
        training: Sequence[Prompt],
        validation: Sequence[Prompt],
        checkpoints: Path,
    ) -> None:
        self.spec, self.policy, self.reference = spec, players.policy, players.reference
        self.scorer, self.ranks = players.scorer, players.ranks
        self.training, self.validation, self.checkpoints = training, validation, checkpoints
        self.tokenizer = players.tokenizer
        self.updater = Updater(self.policy, players.engine, learning_rate_factors(spec), spec, self.ranks)
        self._sampling = Sampling(
            end_id=self.tokenizer.eos_token_id,
            pad_id=self.tokenizer.pad_token_id,
            temperature=spec.temperature,
            batch_size=spec.generation_batch_size,
            top_p=spec.top_p,
            go_on=self.ranks.any if spec.training.zero_stage == 3 else bool,
        )
        per_step = math.ceil(spec.rollouts / spec.samples_per_prompt)
        self._order = endless_order(len(training), per_step * spec.steps, spec.seed).reshape(spec.steps, per_step)
        self.state = LoopState(kl_coefficient=spec.kl_coefficient)

    def run(self, progress: Callable[[int, dict[str, float]], None]) -> LoopState:
        """Run all steps that are left, resuming from the last complete checkpoint."""
        found = checkpoint.restore(self.checkpoints, self.updater)
        if found is not None:
            self.state = found
            if self.ranks.is_first:
                print(f"{self.spec.algorithm.name} resumes after step {found.step}")
        else:
            if self.ranks.is_first:
                shutil.rmtree(self.rollout_folder, ignore_errors=True)
                shutil.rmtree(self.checkpoints / BEST_NAME, ignore_errors=True)
            self.ranks.wait()
            self._validate(0)
        while self.state.step < self.spec.steps:
            step = self.state.step + 1
            metrics = self._step(step)
            self.state.step, self.state.update = step, self.updater.update
            self.state.history.append((step, metrics))
            if step % self.spec.validate_every == 0 or step == self.spec.steps:
                self._validate(step)
            if step % self.spec.training.save_every == 0 or step == self.spec.steps:
                keep = self.spec.training.keep_checkpoints
                checkpoint.save(self.checkpoints, self.state, self.updater, self.ranks, keep)
            progress(step, metrics)
        return self.state

    @property
    def rollout_folder(self) -> Path:
        """Where each step leaves its Parquet part."""
        return self.spec.output_dir / "rollouts"

    def _step(self, step: int) -> dict[str, float]:
        spec = self.spec
        chosen = [self.training[i] for i in self._order[step - 1] for _ in range(spec.samples_per_prompt)]
        sampled = self._sample(chosen[: spec.rollouts], [_SAMPLING, step], step)
        self.state.scores_seen.add(sampled.scores)
        scores = shape_scores(sampled.scores, sampled.ended, spec, self.state.scores_seen)
        coefficient = self.state.kl_coefficient
        enter_phase("reading rollouts through policy and reference")
        experience = gather_experience(
            self.policy,
            self.reference,
            sampled.prompts,
            sampled.responses,
            scores,
            spec,
            coefficient,
            self.tokenizer.pad_token_id,
            self.ranks,
        )
        check_finite(experience, spec.algorithm.name, step, sampled.prompts)
        if self.ranks.is_first:
            self._write_rollouts(step, sampled, experience)
        enter_phase("updating the policy")
        losses = self.updater.step(experience, step)
        kl = float(experience.kl.sum(dim=1).mean())
        if spec.kl_target is not None and not self.updater.warms_up(step):  # KL is 0 while the policy stands still
            rollouts = len(sampled.scores)
            self.state.kl_coefficient = adapt_kl_coefficient(coefficient, kl, spec.kl_target, rollouts, spec.kl_horizon)
        tokens = experience.batch.response_mask.sum(dim=1).float()
        metrics = losses | {
            "score": sum(sampled.scores) / len(sampled.scores),
            "reward": float(experience.rewards.sum(dim=1).mean()),
            "kl": kl,
            "kl_coefficient": coefficient,
            "ended_share": sum(sampled.ended) / len(sampled.ended),
            "response_tokens": float(tokens.mean()),
        }
        if self.updater.head is not None:
            metrics["value"] = float((experience.values * experience.batch.response_mask).sum() / tokens.sum())
        return metrics

    def _sample(self, prompts: list[Prompt], stream: list[int], step: int) -> Sampled:
        """Sample and score this rank's share; every rank learns of all."""
        own = self.ranks.own(len(prompts))
        chosen = [prompts[i] for i in own]
        draws = uniforms([self.spec.seed, *stream], own, self.spec.max_new_tokens)
        enter_phase("sampling rollouts")
        with self.policy.inference():
            found = sample_responses(self.policy.core, [prompt.ids for prompt in chosen], draws, self._sampling)
        enter_phase("scoring rollouts")
        try:
            tokens = [response.tokens for response in found]
            scores = self.scorer.score([p.context for p in chosen], [p.ids for p in chosen], tokens)
        except EngineError as error:
            names = ", ".join(prompt.prompt_id for prompt in chosen[:8])
            raise JobError(
                f"{self.spec.algorithm.name} step {step}: {error}; the step's prompts are {names} ..."
            ) from error
        merged = self.ranks.merge(list(zip(found, scores, strict=True)), len(prompts))
        responses = [response for response, _ in merged]
        ended = [response.tokens[-1] == self.tokenizer.eos_token_id for response in responses]
        return Sampled(prompts, responses, [score for _, score in merged], ended)

    def _validate(self, step: int) -> None:
        """Score fresh samples on the validation prompts, with the same random numbers each time."""
        if not self.validation:
            return
        spec = self.spec
        sampled = self._sample(list(self.validation), [_VALIDATION], step)
        score = sum(sampled.scores) / len(sampled.scores)
        ended = sum(sampled.ended) / len(sampled.ended)
        scaled = spec.score_normalization is not ScoreNormalization.NONE
        penalty = spec.missing_end_penalty * (self.state.scores_seen.std if scaled else 1.0)
        goal = score - penalty * (1.0 - ended)
        measured = {"validation_score": score, "validation_ended_share": ended, "validation_objective": goal}
        self.state.history.append((step, measured))
        if step > 0 and (self.state.best_objective is None or goal > self.state.best_objective):
            self.state.best_objective, self.state.best_step = goal, step
            if spec.keep_model is KeepModel.BEST:
                self._save_best(step)

    def _save_best(self, step: int) -> None:
        best = self.checkpoints / BEST_NAME
        self.save_policy(best / f"step-{step}")

    def save_policy(self, folder: Path) -> None:
        """Save policy, tokenizer and value head into `folder`; all ranks take part."""
        save_policy(folder, self.policy, self.updater.engine, self.tokenizer, self.ranks)

    def _write_rollouts(self, step: int, sampled: Sampled, experience: Experience) -> None:
        mask = experience.batch.response_mask
        sums = [
            (whole * mask).sum(dim=1).tolist() for whole in (experience.kl, experience.rewards, experience.logprobs)
        ]
        rows = [
            Rollout(
                rollout_id=f"{step}-{i}",
                step=step,
                prompt_id=prompt.prompt_id,
                query_id=prompt.query_id,
                split=prompt.split,
                prompt=self.tokenizer.decode(prompt.ids, skip_special_tokens=True),
                response=self.tokenizer.decode(sampled.responses[i].tokens, skip_special_tokens=True).strip(),
                tokens=len(sampled.responses[i].tokens),
                finish_reason=FinishReason.END if sampled.ended[i] else FinishReason.LENGTH,
                score=sampled.scores[i],
                kl=sums[0][i],
                reward=sums[1][i],
                logprob=sums[2][i],
            )
            for i, prompt in enumerate(sampled.prompts)
        ]
        Rollout.write_file(rows, self.rollout_folder / f"part-{step:05d}.parquet")
