"""What the tests of the training jobs share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.jobs.forked_jobs import ForkedJobs


@pytest.fixture(scope="session")
def forked_jobs() -> Iterator[ForkedJobs]:
    """A process that has imported everything and forks a job whenever a test asks for one."""
    jobs = ForkedJobs()
    yield jobs
    jobs.close()


@pytest.fixture(scope="session")
def tiny_reward_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random reward model on the tiny Llama."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("tiny_reward")
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(tiny_llama_dir, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama_dir).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pretrain_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus and its tokenizer."""
    from data_contracts.config.world import WorldConfig
    from data_contracts.tables.documents import Document
    from models.tiny_world.corpus import write_corpus
    from models.tiny_world.tokenizer import save_tokenizer, train_tokenizer
    from models.tiny_world.world import build_world

    folder = tmp_path_factory.mktemp("pretrain_inputs")
    config = WorldConfig(names=8, how_to_tasks=3, single_turn_documents=300, conversation_documents=60)
    rows = list(write_corpus(build_world(config.model_copy(update={"query_list_documents": 20}), 1)))
    Document.write_file(rows, folder / "documents.parquet")
    save_tokenizer(train_tokenizer((row.text for row in rows), 500), folder / "tokenizer")
    return folder
