"""Loading a model for the engine: folders that are incomplete or damaged, settings that do not exist, its digest."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import ConfigError
from models.engines.protocol import SamplingSettings
from models.engines.transformers_engine import TransformersEngine
from models.lm.load_model import load_causal, load_weights
from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder


def test_incomplete_folders_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        TransformersEngine(tmp_path / "nowhere")
    for missing, message in [
        ("config.json", "no config.json"),
        ("model.safetensors", "no .safetensors"),
        ("tokenizer*", "no tokenizer"),
    ]:
        folder = shutil.copytree(llama_folder, tmp_path / message.replace(" ", "-"))
        for file in folder.glob(missing):
            file.unlink()
        with pytest.raises(ConfigError, match=message):
            TransformersEngine(folder)
    folder = shutil.copytree(llama_folder, tmp_path / "truncated")
    (folder / "model.safetensors").write_bytes((llama_folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ConfigError, match="cannot load the model"):
        TransformersEngine(folder)


def test_weights_that_a_folder_lacks_are_not_made_up(llama_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(llama_folder, tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="lacks 1 weights"):
        TransformersEngine(folder)


def test_unknown_settings_are_refused(llama_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.dtype is 'float7'"):
        TransformersEngine(llama_folder, dtype="float7")
    with pytest.raises(ConfigError, match=r"engine\.device"):
        TransformersEngine(llama_folder, device="toaster")
    with pytest.raises(ConfigError, match="'float16', which processors compute slowly"):
        TransformersEngine(llama_folder, dtype="float16", device="cpu")
    settings: dict[str, Any] = {"max_new_tokens": 4}
    wrongs: list[dict[str, Any]] = [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"stop": ("",)}]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            SamplingSettings(**(settings | wrong))


def test_digest_follows_the_weights(llama_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(llama_folder, tmp_path / "copy")
    first = TransformersEngine(llama_folder).model_digest
    assert TransformersEngine(copy).model_digest == first
    save_folder(copy, make_model(num_key_value_heads=4), make_tokenizer())
    assert TransformersEngine(copy).model_digest != first


def test_weights_alone_are_read_in_float32_and_without_dropout(llama_folder: Path, tmp_path: Path) -> None:
    """A folder needs no tokenizer to be scored with; every opening refuses the same broken folders."""
    import torch

    folder = shutil.copytree(llama_folder, tmp_path / "weights")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.4, "dtype": "bfloat16"}))
    assert load_weights(folder).model.layers[0].self_attn.attention_dropout == 0.4
    model = load_causal(folder, torch.device("cpu"))
    assert model.dtype is torch.float32
    assert not model.training
    assert {layer.self_attn.attention_dropout for layer in model.model.layers} == {0.0}
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    for opened in (load_weights, lambda path: load_causal(path, torch.device("cpu"))):
        with pytest.raises(ConfigError, match="cannot load the model"):
            opened(folder)
        with pytest.raises(ConfigError, match=r"no config\.json"):
            opened(tmp_path)
