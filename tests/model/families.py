"""Tiny random models of the real transformers classes, each with a tokenizer of its kind."""

import unicodedata

import numpy as np

SIZE = {
    "vocab_size": 600,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GROUPED = {**SIZE, "num_key_value_heads": 1, "head_dim": 16}
HALVES = {
    "vocab_size": 600,
    "d_model": 32,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}

#: Family to transformers' name of its config, its values, and the kind of tokenizer.
FAMILIES = {
    "gpt2": (
        "GPT2Config",
        {
            "vocab_size": 600,
            "n_embd": 32,
            "n_layer": 3,
            "n_head": 2,
            "n_positions": 512,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        "bytes",
    ),
    "llama": ("LlamaConfig", GROUPED, "metaspace"),
    "qwen2": ("Qwen2Config", {**SIZE, "num_key_value_heads": 1}, "bytes"),
    "qwen3": ("Qwen3Config", GROUPED, "bytes"),
    "gemma2": ("Gemma2Config", {**GROUPED, "sliding_window": 8}, "metaspace"),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "sliding_window": 8, "_sliding_window_pattern": 2}, "metaspace"),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 8}, "metaspace"),
    "phi": ("PhiConfig", SIZE, "bytes"),
    "phi3": ("Phi3Config", SIZE, "metaspace"),
    "gpt_neox": ("GPTNeoXConfig", SIZE, "bytes"),
    "opt": (
        "OPTConfig",
        {**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 512},
        "roberta",
    ),
    "mamba": ("MambaConfig", {**SIZE, "state_size": 4}, "bytes"),
    "mixtral": ("MixtralConfig", {**GROUPED, "num_local_experts": 4}, "metaspace"),
    "qwen3_moe": (
        "Qwen3MoeConfig",
        {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
        "bytes",
    ),
    "olmoe": ("OlmoeConfig", {**SIZE, "num_experts": 4, "num_experts_per_tok": 2}, "bytes"),
    "bert": ("BertConfig", SIZE, "wordpiece"),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": 600, "dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "pad_token_id": 2},
        "wordpiece",
    ),
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16}, "unigram"),  # one block, shared by all layers
    "roberta": ("RobertaConfig", {**SIZE, "max_position_embeddings": 203}, "roberta"),
    "modernbert": (
        "ModernBertConfig",
        {**SIZE, "local_attention": 8, "cls_token_id": 0, "sep_token_id": 1},
        "roberta",
    ),
    "t5": (
        "T5Config",
        {
            **HALVES,
            "d_kv": 16,
            "d_ff": 64,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": 2,
        },
        "unigram",
    ),
    "bart": (
        "BartConfig",
        {
            **HALVES,
            "encoder_layers": 3,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 512,
            "decoder_start_token_id": 1,
            "forced_eos_token_id": 1,
        },
        "roberta",
    ),
}
HALF = {"t5": "encoder", "t5_decoder": "decoder", "bart": "encoder", "bart_decoder": "decoder"}
BIDIRECTIONAL = ("bert", "distilbert", "albert", "roberta", "modernbert", "t5", "bart")
ALL = (*FAMILIES, "t5_decoder", "bart_decoder")
CAUSAL = tuple(name for name in ALL if name not in BIDIRECTIONAL)

TEXTS = [
    "the crow drank tea but the fox did not drink any of it and went home slowly",
    "once upon a time there was a little girl who didn't like rain, wind or snow",
    "in 1984 she paid 3.50 for two (old) books; nobody knew why!",
]


def checkpoint(family, folder, head=None):
    """Save a random model and its tokenizer; weights are drawn so wide that no layer is near to the one below.

    ``head`` is "CausalLM" or "MaskedLM" for a model that has one.
    """
    import torch
    import transformers as hf

    kind, values, tokens = FAMILIES[family]
    torch.manual_seed(0)
    auto = getattr(hf, f"AutoModelFor{head}") if head else hf.AutoModel
    network = auto.from_config(getattr(hf, kind)(**values), dtype=torch.float32)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(5.0 if family not in ("t5", "mamba") else 1.0)
    network.save_pretrained(folder)
    TOKENIZERS[tokens]().save_pretrained(folder)
    return folder


def bytes_tokenizer():
    """As GPT-2's, Pythia's and Qwen's: byte-level pairs, a space belongs to the word after it, nothing is added."""
    made, tk = _byte_level()
    made.post_processor = tk.processors.ByteLevel(trim_offsets=False)
    return _fast(made)


def roberta_tokenizer():
    """As RoBERTa's and BART's: byte-level pairs between <s> and </s>."""
    made, tk = _byte_level()
    made.post_processor = tk.processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return _fast(made)


def _byte_level():
    import tokenizers as tk

    made = tk.Tokenizer(tk.models.BPE())
    made.pre_tokenizer = tk.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tk.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=tk.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return made, tk


def metaspace_tokenizer():
    """As Llama's and Mistral's: pairs over characters, bytes for the rare ones, a start token."""
    import tokenizers as tk

    made = tk.Tokenizer(tk.models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = tk.normalizers.Sequence([tk.normalizers.Prepend("▁"), tk.normalizers.Replace(" ", "▁")])
    trainer = tk.trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=["<s>", "</s>", "<pad>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=["▁"],
        show_progress=False,
    )
    words = [f"▁{word}" for text in TEXTS for word in text.split()]
    normalizer, made.normalizer = made.normalizer, tk.normalizers.Sequence([])
    made.train_from_iterator(words, trainer)
    made.normalizer = normalizer
    made.post_processor = tk.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return _fast(made)


def wordpiece_tokenizer():
    """As BERT's: lower case without accents, pieces of words, an unknown word is one token."""
    import tokenizers as tk

    made = tk.Tokenizer(tk.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tk.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tk.pre_tokenizers.BertPreTokenizer()
    special = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"]
    made.train_from_iterator(
        TEXTS, tk.trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    made.post_processor = tk.processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    return _fast(made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def unigram_tokenizer():
    """As T5's: pieces of a language model over characters, an end token."""
    import tokenizers as tk

    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<pad>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -5.0) for letter in letters]
    pieces += [(f"▁{word}", -4.0) for word in sorted({word for text in TEXTS for word in text.split()})]
    made = tk.Tokenizer(tk.models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.normalizer = tk.normalizers.NFKC()
    made.pre_tokenizer = tk.pre_tokenizers.Metaspace()
    made.post_processor = tk.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _fast(made, unk_token="<unk>")


def _fast(made, **names):
    import transformers as hf

    given = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} if "cls_token" not in names else {}
    return hf.PreTrainedTokenizerFast(tokenizer_object=made, **{**given, **names})


TOKENIZERS = {
    "bytes": bytes_tokenizer,
    "metaspace": metaspace_tokenizer,
    "wordpiece": wordpiece_tokenizer,
    "unigram": unigram_tokenizer,
    "roberta": roberta_tokenizer,
}

ODD_WORDS = (
    "naïve", "cafe\u0301", "ﬁancé", "Ωmega", "привет", "日本語", "שלום", "नमस्ते", "🦊", "👩‍👩‍👧", "🇩🇪", "don't", "we'll've", "o'clock",
    "'tis", "rock-'n'-roll", "3.14", "1,000,000", "½", "x²", "—", "…", "(well),", "“quoted”", "end.", "U.S.A.", "e.g.",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 3, "a" * 150, "C++", "<tag>", "http://x.org/?a=b&c", "$5", "100%", "hmm...",
)  # fmt: skip


def odd_story(seed, n_words):
    """Words drawn from common ones, odd ones, and letters of any script."""
    from brainexp.containers import Stimulus

    rng = np.random.default_rng(seed)
    common = " ".join(TEXTS).split()
    words = []
    for _ in range(n_words):
        kind = rng.choice(3, p=[0.5, 0.35, 0.15])
        words.append((str(rng.choice(common)), str(rng.choice(ODD_WORDS)), _letters(rng))[kind])
    onset_s = 0.4 * np.arange(n_words)
    return Stimulus(story=f"odd{seed}", units=tuple(words), onset_s=onset_s, offset_s=onset_s + 0.3)


def _letters(rng):
    letters = [chr(code) for code in rng.integers(0x21, 0x2FFF, 12)]
    kept = [
        letter
        for letter in letters
        if unicodedata.category(letter)[0] in "LNP" and unicodedata.category(letter) != "Lm"
    ]
    return "".join(kept[: rng.integers(1, 8)]) or "x"
