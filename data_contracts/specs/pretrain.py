"""The spec of the pre-training job: a small Llama on a corpus of `Documents`."""

from hashlib import sha256
from pathlib import Path

from pydantic import Field

from data_contracts.config.pretraining import LadderSize, PretrainingConfig
from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import JobSpec


class PretrainSpec(JobSpec):
    """One rung of the ladder. The model lands in `output_dir/model`, the log in `output_dir/training_log.parquet`."""

    corpus: list[Path] = Field(min_length=1, description="Parquet parts of the contract `documents`, in order")
    tokenizer: Path = Field(description="Folder of a transformers tokenizer with pad, BOS and EOS")
    size: LadderSize = Field(description="Architecture, learning rate and, perhaps, tokens of this rung")
    pretraining: PretrainingConfig = Field(description="What all rungs share; its `sizes` are not read")
    training: TrainingSettings = Field(
        default_factory=TrainingSettings, description="Processes, ZeRO, precision; lora_rank must be 0"
    )

    def digest(self) -> str:
        """As `JobSpec.digest`, also blind to the time limit, to how often is saved, and to the other rungs."""
        hidden = {
            "output_dir": True,
            "work_dir": True,
            "training": {"timeout_s", "save_every", "keep_checkpoints"},
            "pretraining": {"sizes"},
        }
        return sha256(self.model_dump_json(exclude=hidden).encode()).hexdigest()

    @property
    def tokens(self) -> int:
        """Training tokens of this rung."""
        return self.size.tokens or self.pretraining.tokens

    @property
    def thresholds(self) -> dict[str, float]:
        """Watched loss (nats) of this rung below which name copying, recall and order have formed; 0: not asked for."""
        settings, own = self.pretraining, self.size.recall_threshold
        recall = settings.recall_threshold if own is None else own
        return {"copy": settings.copy_threshold, "recall": recall, "order": settings.order_threshold}
