"""From the files of llama2.c (format v0) to a transformers checkpoint."""

import struct
from pathlib import Path

import numpy as np


def converted(weights: Path, tokens: Path, folder: Path):
    """Write weights and tokenizer into a folder that transformers loads.

    Parameters
    ----------
    weights : Path
        Seven int32 (width, hidden width, blocks, heads, key-value heads, vocabulary, positions), then float32.
    tokens : Path
        An int32, then a float32 score, an int32 length and the bytes of every token.
    folder : Path
        Is made.
    """
    import torch
    import transformers as hf

    header = struct.unpack("<7i", weights.read_bytes()[:28])
    width, hidden, n_blocks, n_heads, n_shared, vocabulary, n_positions = header
    rest = np.fromfile(weights, "<f4", offset=28)
    kept = width // n_heads * n_shared
    shapes = {
        "embed_tokens.weight": (vocabulary, width),
        "input_layernorm.weight": (n_blocks, width),
        "self_attn.q_proj.weight": (n_blocks, width, width),
        "self_attn.k_proj.weight": (n_blocks, kept, width),
        "self_attn.v_proj.weight": (n_blocks, kept, width),
        "self_attn.o_proj.weight": (n_blocks, width, width),
        "post_attention_layernorm.weight": (n_blocks, width),
        "mlp.gate_proj.weight": (n_blocks, hidden, width),
        "mlp.down_proj.weight": (n_blocks, width, hidden),
        "mlp.up_proj.weight": (n_blocks, hidden, width),
        "norm.weight": (width,),
    }
    state, at = {}, 0
    for name, shape in shapes.items():
        values = torch.from_numpy(rest[at : at + int(np.prod(shape))].reshape(shape).copy())
        at += values.numel()
        if name.split(".")[0] in ("embed_tokens", "norm"):
            state[f"model.{name}"] = values
        for block in range(n_blocks if f"model.{name}" not in state else 0):
            heads = {"self_attn.q_proj.weight": n_heads, "self_attn.k_proj.weight": n_shared}.get(name)
            state[f"model.layers.{block}.{name}"] = values[block] if heads is None else halved(values[block], heads)
    assert rest.size - at == n_positions * width // n_heads  # tables of sines and cosines; the head is the embedding
    config = hf.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=n_blocks,
        num_attention_heads=n_heads, num_key_value_heads=n_shared, max_position_embeddings=n_positions,
        rms_norm_eps=1e-5, tie_word_embeddings=True,
    )  # fmt: skip
    network = hf.LlamaForCausalLM(config)
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    network.save_pretrained(folder)
    tokenizer(tokens, vocabulary).save_pretrained(folder)


def halved(weight, n_heads):
    """Reorder a head's rows: llama2.c turns neighbours together, transformers the two halves."""
    rows, columns = weight.shape
    pairs = weight.view(n_heads, rows // n_heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns).contiguous()


def tokenizer(file, vocabulary):
    """Pairs merged in the order of their scores, as sentencepiece does."""
    import tokenizers as tk
    import transformers as hf

    content, at = file.read_bytes(), 4
    pieces, scores = ["<unk>", "<s>", "</s>"], [0.0, 0.0, 0.0]
    for number in range(vocabulary):
        score, length = struct.unpack_from("<fi", content, at)
        piece = content[at + 8 : at + 8 + length].decode()
        at += 8 + length
        if number >= 3:
            pieces.append(piece.replace(" ", "▁"))
            scores.append(score)
    assert at == len(content)
    rank = dict(zip(pieces, scores, strict=True))
    merges = [
        (piece[:cut], piece[cut:], score)
        for piece, score in rank.items()
        for cut in range(1, len(piece))
        if piece[:cut] in rank and piece[cut:] in rank and not piece.startswith("<")
    ]
    merges.sort(key=lambda merge: -merge[2])
    made = tk.Tokenizer(
        tk.models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=[(left, right) for left, right, _ in merges],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    made.normalizer = tk.normalizers.Sequence([tk.normalizers.Prepend("▁"), tk.normalizers.Replace(" ", "▁")])
    made.post_processor = tk.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.decoder = tk.decoders.Sequence(
        [tk.decoders.Replace("▁", " "), tk.decoders.ByteFallback(), tk.decoders.Fuse(), tk.decoders.Strip(" ", 1, 0)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
