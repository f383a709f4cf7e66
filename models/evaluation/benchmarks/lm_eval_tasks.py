"""Benchmarks as a task folder of lm-evaluation-harness, asked in exactly this project's prompts.

`lm_eval --model hf --model_args pretrained=MODEL,add_bos_token=True --include_path FOLDER --tasks NAME` then gives
another implementation's word on the same items: shots, template and order of options are in the rows already.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from models.evaluation.benchmarks.choice_items import ChoiceItem

PREFIX = "almost_"
_CHOICES = """task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{options}}}}"
doc_to_target: "{{{{correct}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
_LIKELIHOOD = """task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{target}}}}"
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""


def export_task(folder: Path, name: str, items: Sequence[ChoiceItem]) -> str:
    """Write one benchmark as `almost_NAME.yaml` and `almost_NAME.jsonl`; returns the task's name.

    Where every option has a context of its own (TruthfulQA) or there is only one (LAMBADA), rows are single
    likelihoods: of TruthfulQA the harness then reports each answer's, not MC1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = f"{PREFIX}{name}"
    shared = all(len({choice.context for choice in item.choices}) == 1 and len(item.choices) > 1 for item in items)
    rows = folder.absolute() / f"{task}.jsonl"
    with rows.open("w", encoding="utf-8") as sink:
        for item in items:
            for row in [_choice_row(item)] if shared else _likelihood_rows(item):
                sink.write(json.dumps(row, ensure_ascii=False) + "\n")
    template = _CHOICES if shared else _LIKELIHOOD
    (folder / f"{task}.yaml").write_text(template.format(task=task, file=json.dumps(str(rows))), encoding="utf-8")
    return task


def _choice_row(item: ChoiceItem) -> dict[str, object]:
    return {
        "item_id": item.item_id,
        "variant": item.variant,
        "group": item.group,
        "context": item.prefix + item.choices[0].context,
        "options": [choice.option for choice in item.choices],
        "correct": item.correct,
    }


def _likelihood_rows(item: ChoiceItem) -> list[dict[str, object]]:
    return [
        {
            "item_id": item.item_id,
            "option": place,
            "correct": place == item.correct,
            "context": item.prefix + choice.context,
            "target": choice.option,
        }
        for place, choice in enumerate(item.choices)
    ]
