"""Job: DPO of the SFT policy on the comparisons themselves (Rafailov et al. 2023; TRL's trainer), an alternative to PPO.

Loss: -log sigmoid(beta (d_chosen - d_rejected)), d = log pi(y|x) - log rho(y|x) summed over the answer's tokens, or, with
`sigmoid_norm`, its mean over them: delta learning (2507.06187) runs that on pairs of a larger and a smaller weak model.
Held-out pairs give the implicit reward's accuracy, margin and loss at the end; accuracy and margin are those of the sums,
whichever the loss.

Departures: context too long for `max_length` loses its oldest turns (both answers the same), a pair that still does not
fit is dropped, and so is one whose answers have the same tokens; all are counted.
"""

from typing import Any

from data_contracts.specs.optimize_by_preferences import PreferenceSpec
from data_contracts.tables.reward_scores import PairSplit
from models.distributed.deepspeed_config import prepare_distributed
from models.lm.chat_template import fit_embeddings, prepare_tokenizer
from models.lm.tokenizer_check import check_tokenizer
from models.processes.job_entry import enter_phase, run
from models.processes.job_protocol import read_spec, write_manifest
from models.reward.preference_pairs import pairs_of
from models.training.batch_stream import batch_layout, bucket_by_length, stream_order
from models.training.tokenized_pairs import TokenizedPairs, tokenize_pairs

JOB = "models.jobs.optimize_by_preferences"
_MEASURED = {"eval_loss": "loss", "eval_rewards/accuracies": "accuracy", "eval_rewards/margins": "margin"}


def columns(pairs: TokenizedPairs) -> dict[str, list[list[int]]]:
    """The pairs as TRL's collator reads them: the prompt, and what follows it on each side."""
    read: dict[str, list[list[int]]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": []}
    for chosen, rejected in zip(pairs.chosen, pairs.rejected, strict=True):
        shared = min(len(chosen.prompt_ids), len(rejected.prompt_ids))  # a tokenizer may merge text over the boundary
        read["prompt_ids"].append(chosen.ids[:shared])
        read["chosen_ids"].append(chosen.ids[shared:])
        read["rejected_ids"].append(rejected.ids[shared:])
    return read


def build_trainer(spec: PreferenceSpec, tokenizer: Any, training: TokenizedPairs, heldout: TokenizedPairs) -> Any:
    """TRL's DPO trainer on rows that are tokenized and ordered already."""
    import torch
    from datasets import Dataset  # the slow imports come after what may already be wrong
    from transformers import AutoModelForCausalLM
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    from models.training import trl_training as shared

    class TokenizedDPOTrainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    stream = stream_order(len(training.pair_ids), spec.epochs, spec.batch_size, spec.seed)
    order = bucket_by_length(stream, training.lengths(), spec.batch_size)
    layout = batch_layout(spec.batch_size, spec.micro_batch_size, spec.training.processes)
    settings = shared.trainer_settings(spec, layout, len(order) // spec.batch_size)
    measured = evaluated_rows(len(heldout.pair_ids), spec.training.processes)
    each = batch_layout(measured, spec.micro_batch_size, spec.training.processes).micro if measured else 1
    arguments = DPOConfig(
        **settings, beta=spec.beta, loss_type=[spec.loss.value], per_device_eval_batch_size=each, eval_strategy="no"
    )
    # Under ZeRO-3 the arguments must exist first: they tell transformers to split the weights as it loads them.
    models = []
    for _ in range(1 if spec.training.lora_rank else 2):  # with adapters the reference is the model without them
        models.append(AutoModelForCausalLM.from_pretrained(spec.base_model, dtype=torch.float32))
        fit_embeddings(models[-1], tokenizer)
    return TokenizedDPOTrainer(
        model=models[0],
        ref_model=models[1] if len(models) > 1 else None,
        args=arguments,
        train_dataset=Dataset.from_dict(columns(training)).select(order),
        eval_dataset=Dataset.from_dict(columns(heldout)).select(range(measured)) if measured else None,
        processing_class=tokenizer,
        peft_config=shared.lora_settings(spec, "CAUSAL_LM"),
        callbacks=[
            shared.TrainingWatch([training.pair_ids[i] for i in order], spec.batch_size, spec.training.keep_checkpoints)
        ],
    )


def evaluated_rows(rows: int, processes: int) -> int:
    """How many held-out rows are measured: as many on every rank, in batches of one size, so that means are means."""
    return rows - rows % processes


def heldout_metrics(found: dict[str, float], rows: int) -> dict[str, float]:
    """TRL's evaluation under our names; `rows` alone when nothing was held out."""
    return {"heldout_pairs": float(rows)} | {
        f"heldout_{ours}": found[theirs] for theirs, ours in _MEASURED.items() if rows
    }


def main() -> None:
    """Train, measure the held-out pairs, and write `model`, `training_log` and the manifest."""
    spec = read_spec(PreferenceSpec)
    prepare_distributed(spec.training)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.base_model)
    prepare_tokenizer(tokenizer)
    check_tokenizer(tokenizer)
    training = tokenize_pairs(pairs_of(PairSplit.TRAIN, spec.pairs), tokenizer, spec.max_length)
    training.require_pairs(JOB, spec.max_length)
    heldout = tokenize_pairs(pairs_of(PairSplit.HELDOUT, spec.pairs), tokenizer, spec.max_length)
    trainer = build_trainer(spec, tokenizer, training, heldout)
    from models.training import trl_training as shared

    shared.train(trainer, spec)
    metrics = shared.write_log(trainer, spec) | training.metrics()
    enter_phase("measuring held-out pairs")
    measured = evaluated_rows(len(heldout.pair_ids), spec.training.processes)
    metrics |= heldout_metrics(trainer.evaluate() if measured else {}, measured)
    shared.save_model(trainer, spec)
    write_manifest(spec, JOB, {"model": shared.MODEL_NAME, "training_log": shared.LOG_NAME}, metrics)


if __name__ == "__main__":
    run(main)
