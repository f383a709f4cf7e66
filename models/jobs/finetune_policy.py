"""Job: supervised fine-tuning on demonstrations (ALMoST section 2.2, "Alpaca's recipe").

Departures: 1. the loss covers the last assistant turn and its end token only (Alpaca's data has a single turn, so there
is nothing to depart from there; earlier turns of a demonstration are rows of their own). 2. A context too long for
`max_length` loses its oldest turns and is counted; a row that still does not fit is dropped and counted.
"""

from typing import Any

from data_contracts.errors import EmptyResultError
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.tables.training_conversations import TrainingConversation
from models.distributed.deepspeed_config import prepare_distributed
from models.lm.chat_template import fit_embeddings, prepare_tokenizer
from models.lm.tokenizer_check import TruncationCount, check_tokenizer, fit_response
from models.processes.job_entry import run
from models.processes.job_protocol import read_spec, write_manifest
from models.training.batch_stream import batch_layout, bucket_by_length, stream_order

JOB = "models.jobs.finetune_policy"


def tokenize_rows(
    spec: FinetuneSpec, tokenizer: Any
) -> tuple[list[str], list[list[int]], list[list[int]], TruncationCount]:
    """Row ids, token ids and labels (-100 outside the response) of every row that fits."""
    count = TruncationCount()
    row_ids, ids, labels = [], [], []
    for row in TrainingConversation.read_files(spec.conversations):
        turns = fit_response(tokenizer, row.context, [row.response], spec.max_length, count)
        if turns is None:
            continue
        row_ids.append(row.row_id)
        ids.append(turns[0].ids)
        labels.append([-100] * len(turns[0].prompt_ids) + turns[0].response_ids)
    if not ids:
        raise EmptyResultError(
            f"{JOB}: no row to train on: {count.rows} read, {count.dropped_rows} longer than max_length {spec.max_length}"
        )
    return row_ids, ids, labels, count


def main() -> None:
    """Fine-tune and write `model`, `training_log` and the manifest."""
    spec = read_spec(FinetuneSpec)
    prepare_distributed(spec.training)
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(spec.base_model)
    prepare_tokenizer(tokenizer)
    check_tokenizer(tokenizer, AutoConfig.from_pretrained(spec.base_model).get_text_config().vocab_size)
    row_ids, ids, labels, count = tokenize_rows(spec, tokenizer)
    import torch  # the slow imports come after what may already be wrong
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from models.training import trl_training as shared

    stream = stream_order(len(ids), spec.epochs, spec.batch_size, spec.seed)
    order = bucket_by_length(stream, [len(row) for row in ids], spec.batch_size)
    layout = batch_layout(spec.batch_size, spec.micro_batch_size, spec.training.processes)
    settings = shared.trainer_settings(spec, layout, len(order) // spec.batch_size)
    arguments = SFTConfig(**settings, packing=False, dataset_kwargs={"skip_prepare_dataset": True})
    # Under ZeRO-3 the arguments must exist first: they tell transformers to split the weights as it loads them.
    model = AutoModelForCausalLM.from_pretrained(spec.base_model, dtype=torch.float32)
    fit_embeddings(model, tokenizer)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"input_ids": ids, "labels": labels}).select(order),
        processing_class=tokenizer,
        peft_config=shared.lora_settings(spec, "CAUSAL_LM"),
        callbacks=[shared.TrainingWatch([row_ids[i] for i in order], spec.batch_size, spec.training.keep_checkpoints)],
    )
    shared.train(trainer, spec)
    shared.save_model(trainer, spec)
    metrics = shared.write_log(trainer, spec) | count.metrics()
    metrics["response_tokens"] = float(sum(token != -100 for row in labels for token in row))
    write_manifest(spec, JOB, {"model": shared.MODEL_NAME, "training_log": shared.LOG_NAME}, metrics)


if __name__ == "__main__":
    run(main)
