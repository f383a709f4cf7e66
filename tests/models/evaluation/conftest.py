"""Model folders for evaluation tests."""

from pathlib import Path

import pytest
import torch

from data_contracts.config.world import WorldConfig
from models.tiny_world.corpus import write_corpus
from models.tiny_world.tokenizer import train_tokenizer
from models.tiny_world.world import build_world
from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder


@pytest.fixture(scope="session")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with 4,096 positions and a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("long_model")
    return save_folder(folder, make_model(max_position_embeddings=4096), make_tokenizer(pad=True))


@pytest.fixture(scope="session")
def world_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny-world model: the world's own tokenizer, trained for a moment on its corpus."""
    world = build_world(WorldConfig(names=20, single_turn_documents=120, conversation_documents=20), seed=1)
    texts = [document.text for document in write_corpus(world)][:200]
    tokenizer = train_tokenizer(texts, 600)
    model = make_model(vocab_size=len(tokenizer), max_position_embeddings=1024)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for text in texts[:30]:
        ids = torch.tensor([tokenizer(text)["input_ids"][:160]])
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_folder(tmp_path_factory.mktemp("world_model"), model, tokenizer)
