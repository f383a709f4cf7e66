"""Job: train a reward model on comparisons (ALMoST section 2.1), the as-is reward model included.

Loss: -log sigmoid(r(x, chosen) - r(x, rejected) - margin), the paper's with margin 0. The score is a linear head on the end token's hidden state.
Departures: 1. pairs longer than `max_length` first lose old turns of their context (both answers the same), then are
dropped and counted. 2. Held-out pairs are scored at the end; the paper measures on other people's data only.
3. An option, off by default: the likelihood feature (`models/jobs/likelihood_training.py`).
"""

from pathlib import Path
from typing import Any

from data_contracts.config.reward import LikelihoodFeature
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from models.distributed.deepspeed_config import on_cpu, prepare_distributed
from models.lm.chat_template import fit_embeddings, prepare_tokenizer
from models.lm.tokenizer_check import check_reads_last_token, check_tokenizer
from models.processes.job_entry import run
from models.processes.job_protocol import is_rank_zero, read_spec, write_manifest
from models.reward.answer_likelihood import READINGS_NAME
from models.reward.heldout_scores import both_sides, pair_metrics, reward_scores
from models.reward.preference_pairs import pairs_of
from models.training.batch_stream import batch_layout, bucket_by_length, stream_order
from models.training.tokenized_pairs import TokenizedPairs, tokenize_pairs

JOB = "models.jobs.train_reward_model"
SCORES_NAME = "heldout_scores.parquet"


def training_pairs(spec: RewardSpec, tokenizer: Any) -> TokenizedPairs:
    """The training pairs that fit, both sides ending with the token that the model reads.

    Raises:
        EmptyResultError: there is none.
    """
    pairs = tokenize_pairs(pairs_of(PairSplit.TRAIN, spec.pairs), tokenizer, spec.max_length)
    pairs.require_pairs(JOB, spec.max_length)
    for turn in (*pairs.chosen, *pairs.rejected):
        check_reads_last_token(turn.ids, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return pairs


def columns(pairs: TokenizedPairs) -> dict[str, Any]:
    """The pairs as TRL's trainer reads them; margins where any pair asks for one."""
    ids = {"chosen_ids": [turn.ids for turn in pairs.chosen], "rejected_ids": [turn.ids for turn in pairs.rejected]}
    return ids | ({"margin": pairs.margins} if any(pairs.margins) else {})


def load_base(spec: RewardSpec, tokenizer: Any) -> Any:
    """The base model with one output; a new head is drawn from the seed, alike under every ZeRO stage."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    architecture = (AutoConfig.from_pretrained(spec.base_model).architectures or [""])[0]
    with suppress_seqcls_warning():
        model = AutoModelForSequenceClassification.from_pretrained(spec.base_model, num_labels=1, dtype=torch.float32)
    fit_embeddings(model, tokenizer)
    if not architecture.endswith("ForSequenceClassification"):
        weight = model.score.weight
        spread = getattr(model.config.get_text_config(), "initializer_range", 0.02)
        shape = getattr(weight, "ds_shape", weight.shape)
        head = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(spec.seed)) * spread
        if hasattr(weight, "ds_id"):  # split among the ranks by ZeRO-3
            import deepspeed

            with deepspeed.zero.GatheredParameters(weight, modifier_rank=0):
                weight.data.copy_(head)
        else:
            weight.data.copy_(head)
    return model


def score_heldout(spec: RewardSpec, folder: Path) -> dict[str, float]:
    """Score the held-out pairs with the saved model, write their `RewardScore` rows, and return accuracy, loss and count."""
    from models.reward.reward_model import RewardModel

    heldout = list(pairs_of(PairSplit.HELDOUT, spec.pairs))
    model = RewardModel(folder, batch_size=2 * spec.micro_batch_size, device="cpu" if on_cpu(spec.training) else None)
    scores = model.score(both_sides(heldout))
    chosen, rejected = scores[: len(heldout)], scores[len(heldout) :]
    RewardScore.write_file(reward_scores(heldout, chosen, rejected), spec.output_dir / SCORES_NAME)
    return pair_metrics(chosen, rejected)


def build_trainer(spec: RewardSpec, tokenizer: Any, pairs: TokenizedPairs) -> tuple[Any, Any]:
    """The trainer, and None or what puts the likelihood feature into the saved folder and returns its weight."""
    from datasets import Dataset  # the slow imports come after what may already be wrong
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    from models.jobs import likelihood_training as feature
    from models.training import trl_training as shared

    read, weights, whole = columns(pairs), None, ["score"]
    if spec.likelihood is not LikelihoodFeature.OFF:  # before ZeRO-3 is configured for the trainer
        weights, values = feature.read_answers(spec, tokenizer, pairs.pair_ids, pairs.chosen, pairs.rejected)
        read |= values
        whole.append(feature.WEIGHT)
    stream = stream_order(len(pairs.pair_ids), spec.epochs, spec.batch_size, spec.seed)
    order = bucket_by_length(stream, pairs.lengths(), spec.batch_size)
    layout = batch_layout(spec.batch_size, spec.micro_batch_size, spec.training.processes)
    settings = shared.trainer_settings(spec, layout, len(order) // spec.batch_size)
    arguments: dict[str, Any] = {
        "args": RewardConfig(**settings, center_rewards_coefficient=spec.center_rewards_coefficient),
        "model": load_base(spec, tokenizer),
        "train_dataset": Dataset.from_dict(read).select(order),
        "processing_class": tokenizer,
        "peft_config": shared.lora_settings(spec, "SEQ_CLS", whole),
        "callbacks": [
            shared.TrainingWatch([pairs.pair_ids[i] for i in order], spec.batch_size, spec.training.keep_checkpoints)
        ],
    }
    if weights is None:
        return RewardTrainer(**arguments), None
    feature.add_likelihood(arguments["model"], weights.head_weight)
    trainer = feature.LikelihoodRewardTrainer(
        **arguments,
        weight_learning_rate=spec.likelihood_learning_rate,
        data_collator=feature.LikelihoodCollator(tokenizer.pad_token_id),
    )
    base = spec.likelihood_base or spec.base_model
    return trainer, lambda folder: feature.store_likelihood(folder, base, weights).weight


def main() -> None:
    """Train, save `model`, `training_log` and `heldout_scores`, and write the manifest."""
    spec = read_spec(RewardSpec)
    prepare_distributed(spec.training, process_group=spec.likelihood is not LikelihoodFeature.OFF)
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.base_model)
    prepare_tokenizer(tokenizer)
    check_tokenizer(tokenizer, AutoConfig.from_pretrained(spec.base_model).get_text_config().vocab_size)
    pairs = training_pairs(spec, tokenizer)
    trainer, likelihood = build_trainer(spec, tokenizer, pairs)
    from models.training import trl_training as shared

    shared.train(trainer, spec)
    folder = shared.save_model(trainer, spec)
    metrics = shared.write_log(trainer, spec) | pairs.metrics()
    if is_rank_zero():
        shared.forget_zero()
        if likelihood is not None:
            metrics |= {"likelihood_weight": likelihood(folder)}
        metrics |= score_heldout(spec, folder)
    outputs = {"model": shared.MODEL_NAME, "training_log": shared.LOG_NAME, "heldout_scores": SCORES_NAME}
    if likelihood is not None and spec.answer_likelihoods is None:
        outputs["answer_likelihoods"] = READINGS_NAME
    write_manifest(spec, JOB, outputs, metrics)


if __name__ == "__main__":
    run(main)
