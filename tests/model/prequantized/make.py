"""How the checkpoints in this folder were made: random weights, quantized by the libraries that others use.

Each library wants an environment of its own (Python 3.11, torch 2.13.0, CPU), none of which brainexp needs::

    pip install gptqmodel==7.6.0 "optimum>=2.1,<3" torch==2.13.0 transformers==5.17.0
    PYTHONPATH=. python tests/model/prequantized/make.py gptq
    pip install autoawq==0.2.9 torch==2.13.0 transformers==4.51.3
    PYTHONPATH=. python tests/model/prequantized/make.py awq

``weights.json`` holds, for each layer, the SHA-256 of the weights in float16 (outputs × inputs) to which the library itself
unpacks its checkpoint.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
#: Folder: bits, group size, act-order, symmetric, format
GPTQ = {
    "gptq_w4_act_order": (4, 32, True, False, "gptq"),
    "gptq_w3": (3, 32, False, False, "gptq"),
    "gptq_v2_w2": (2, 32, False, False, "gptq_v2"),
}
TEXTS = ["the crow drank tea but the fox did not drink any of it and went home slowly " * 4] * 16


def base(folder):
    """A random Llama and a tokenizer of bytes."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    network = hf.AutoModelForCausalLM.from_config(config, torch_dtype=torch.float16)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    network.save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=letters[0], pad_token=letters[0])
    tokenizer.save_pretrained(folder)
    return tokenizer


def keep(made, name, weights):
    """Copy what is needed to read a checkpoint, and write what its weights are."""
    (HERE / name).mkdir(exist_ok=True)
    shutil.copy(Path(made) / "model.safetensors", HERE / name)
    config = json.loads((Path(made) / "config.json").read_text())
    config["quantization_config"].pop("meta", None)  # where and how it ran
    (HERE / name / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    digests = {
        layer: hashlib.sha256(w.half().contiguous().numpy().tobytes()).hexdigest() for layer, w in weights.items()
    }
    (HERE / name / "weights.json").write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


def gptq():
    """By GPTQModel."""
    os.cpu_count = lambda: 4  # its pools of threads want more than two
    import torch
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

    for name, (bits, group_size, act_order, symmetric, form) in GPTQ.items():
        with tempfile.TemporaryDirectory() as folder:
            base(f"{folder}/base")
            options = {"bits": bits, "group_size": group_size, "desc_act": act_order, "sym": symmetric, "format": form}
            model = GPTQModel.load(f"{folder}/base", QuantizeConfig(**options, act_group_aware=False))
            model.quantize(TEXTS, batch_size=1)
            model.save(f"{folder}/made")
            read = GPTQModel.load(f"{folder}/made", backend=BACKEND.TORCH, device="cpu", dtype=torch.float16).model
            layers = {layer: module for layer, module in read.named_modules() if hasattr(module, "qweight")}
            keep(f"{folder}/made", name, {layer: module.dequantize_weight().T for layer, module in layers.items()})


def awq():
    """By AutoAWQ."""
    from awq import AutoAWQForCausalLM
    from awq.utils.packing_utils import dequantize_gemm

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = base(f"{folder}/base")
        model = AutoAWQForCausalLM.from_pretrained(f"{folder}/base", device_map="cpu", safetensors=True)
        options = {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}
        model.quantize(tokenizer, options, calib_data=TEXTS, max_calib_samples=16, max_calib_seq_len=512)
        model.save_quantized(f"{folder}/made")
        layers = {layer: module for layer, module in model.model.named_modules() if hasattr(module, "qweight")}
        unpacked = {
            layer: dequantize_gemm(module.qweight, module.qzeros, module.scales, module.w_bit, module.group_size).T
            for layer, module in layers.items()
        }
        keep(f"{folder}/made", "awq_w4", unpacked)


if __name__ == "__main__":
    {"gptq": gptq, "awq": awq}[sys.argv[1]]()
