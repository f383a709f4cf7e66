"""Profile section `sft`: supervised fine-tuning (ALMoST section 2.2, Alpaca's recipe)."""

from pydantic import Field

from data_contracts.config.optimizer_settings import OptimizerSettings, Schedule


class SupervisedFinetuning(OptimizerSettings):
    """Supervised fine-tuning (ALMoST 2.2, Alpaca's recipe)."""

    epochs: float = Field(default=3.0, gt=0, title="Epochs", description="Alpaca's recipe: 3")
    learning_rate: float = Field(default=2e-5, gt=0, title="Learning rate", description="Alpaca's recipe: 2e-5")
    batch_size: int = Field(default=128, ge=1, title="Batch", description="Rows per update; Alpaca's recipe: 128")
    max_length: int = Field(default=512, ge=8, title="Longest row", description="Tokens; Alpaca's recipe: 512")
    schedule: Schedule = Field(default=Schedule.COSINE, title="Schedule", description="Alpaca's recipe: cosine")
    warmup_share: float = Field(default=0.03, ge=0, lt=1, title="Warm-up share", description="Alpaca's recipe: 3 %")
