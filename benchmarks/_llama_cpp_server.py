"""Runs in the environment of `_llama_cpp_peer`: writes a Llama as GGUF, or serves one.

`convert CONFIG ARRAYS GGUF` and `serve GGUF SLOTS CONTEXT FLASH`; the latter prints `address=...` once it can be asked and
ends with its standard input.
"""

import json
import sys
from pathlib import Path


def convert(config_path: str, arrays_path: str, gguf_path: str) -> None:
    """A Llama with tied embeddings, float32; token i is the word `wi`."""
    import gguf  # pyright: ignore[reportMissingImports]
    import numpy as np

    config = json.loads(Path(config_path).read_text())
    arrays = np.load(arrays_path)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(gguf_path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    rope = config.get("rope_parameters") or {}
    writer.add_rope_freq_base(float(rope.get("rope_theta", config.get("rope_theta", 10000.0))))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config["vocab_size"])
    words = [f"w{number}" for number in range(config["vocab_size"])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(words))
    writer.add_token_merges(["w 0"])
    writer.add_add_bos_token(False)
    for name, array in arrays.items():
        writer.add_tensor(_gguf_name(name), _arranged(name, array, heads, kv_heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def _gguf_name(name: str) -> str:
    name = name.removeprefix("model.").removesuffix(".weight")
    if name in ("embed_tokens", "norm"):
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[name]
    _, layer, part = name.split(".", 2)
    return f"blk.{layer}.{NAMES[part]}.weight"


def _arranged(name, array, heads: int, kv_heads: int):
    """Rotary pairs lie side by side in llama.cpp, half a head apart in transformers."""
    for part, count in (("q_proj", heads), ("k_proj", kv_heads)):
        if part in name:
            rows, columns = array.shape
            return array.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()
    return array


def serve(gguf_path: str, slots: str, context: str, flash: str) -> None:
    """Serve until standard input ends."""
    import xllamacpp  # pyright: ignore[reportMissingImports]

    params = xllamacpp.CommonParams()
    params.model.path = gguf_path
    params.n_ctx, params.n_parallel = int(context), int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    types = xllamacpp.llama_flash_attn_type
    params.flash_attn_type = (
        types.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash == "True" else types.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.n_gpu_layers = 0
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)
    print(f"address={server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    {"convert": convert, "serve": serve}[sys.argv[1]](*sys.argv[2:])
