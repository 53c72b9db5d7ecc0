import numpy as np
import pytest

from brainexp.errors import ModelError
from brainexp.model.layers import Pool, examined, run

torch = pytest.importorskip("torch")


class Block(torch.nn.Module):
    """Adds its number and, where told to look ahead, what all tokens have in common."""

    def __init__(self, number, ahead):
        super().__init__()
        self.number, self.ahead, self.calls = number, ahead, 0

    def forward(self, hidden_states, mask):
        self.calls += 1
        shown = hidden_states * mask[..., None]
        return hidden_states + self.number + (shown.sum(1, keepdim=True) if self.ahead else 0)


class Output(dict):
    __getattr__ = dict.__getitem__


class Tower(torch.nn.Module):
    """A network of three blocks and a final norm, as transformers makes them; ``told`` of its hidden states are given."""

    def __init__(self, ahead=False, told=slice(None), listed=True, heedless=False):
        super().__init__()
        self.embedding = torch.nn.Embedding(20, 4)
        blocks = [Block(number, ahead) for number in (1.0, 2.0, 3.0)]
        self.blocks = torch.nn.ModuleList(blocks) if listed else None
        self.plain = blocks
        self.told, self.heedless = told, heedless

    def forward(self, tokens, mask, output_hidden_states=False):
        state = self.embedding(tokens)
        states = [state]
        for block in self.plain:
            state = block(hidden_states=state, mask=torch.ones_like(mask) if self.heedless else mask)
            states.append(state)
        states[-1] = 10 * state
        return Output(
            last_hidden_state=states[-1], **({"hidden_states": states[self.told]} if output_hidden_states else {})
        )


def layers_of(tower, wanted):
    anatomy = examined(tower, tower, 3, 20, "cpu")
    for block in tower.plain:
        block.calls = 0
    tokens = torch.tensor([[1, 2, 3]])
    found = {}
    with torch.inference_mode():
        run(anatomy, tower, tokens, torch.ones_like(tokens), wanted, found.__setitem__)
        expected = tower(tokens, torch.ones_like(tokens), output_hidden_states=True).hidden_states
    return found, expected


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("wanted", [(0,), (1,), (2, 3), (0, 1, 2, 3)])
def test_states_are_those_of_the_layers_wanted(wanted, listed):
    found, expected = layers_of(Tower(listed=listed), wanted)

    assert tuple(found) == wanted
    assert all(torch.equal(found[layer], expected[layer]) for layer in wanted)


@pytest.mark.parametrize(("wanted", "runs"), [((0,), [0, 0, 0]), ((0, 2), [1, 1, 0]), ((3,), [1, 1, 1])])
def test_blocks_above_the_deepest_wanted_layer_are_not_run(wanted, runs):
    tower = Tower()
    anatomy = examined(tower, tower, 3, 20, "cpu")
    for block in tower.plain:
        block.calls = 0
    tokens = torch.tensor([[1, 2, 3]])

    run(anatomy, tower, tokens, torch.ones_like(tokens), wanted, lambda *_: None)

    assert [block.calls for block in tower.plain] == runs


def test_no_hook_stays_behind():
    tower = Tower()
    layers_of(tower, (0, 1))

    assert not any(block._forward_hooks or block._forward_pre_hooks for block in tower.plain)


@pytest.mark.parametrize("ahead", [True, False])
def test_looking_ahead_is_noticed(ahead):
    tower = Tower(ahead=ahead)

    assert examined(tower, tower, 3, 20, "cpu").causal == (not ahead)


def test_a_network_that_does_not_heed_the_mask_is_refused():
    tower = Tower(ahead=True, heedless=True)

    with pytest.raises(ModelError, match="depend on tokens that the attention mask hides"):
        examined(tower, tower, 3, 20, "cpu")


def test_blocks_that_are_not_the_layers_are_not_used():
    tower = Tower()
    tower.blocks = torch.nn.ModuleList(reversed(tower.plain))

    assert examined(tower, tower, 3, 20, "cpu").blocks is None


def test_another_number_of_hidden_states_is_refused():
    tower = Tower(told=slice(1, None))

    with pytest.raises(ModelError, match="gives 3 hidden states, but 3 blocks and an embedding are declared"):
        examined(tower, tower, 3, 20, "cpu")


@pytest.mark.parametrize("pooling", ["mean", "last", "first", "sum"])
def test_pooling_takes_the_words_tokens_and_nothing_else(rng, pooling):
    states = rng.standard_normal((3, 10, 6)).astype(np.float32)
    spans = [(1, 2), (2, 7), (10, 13), (13, 14), (24, 29)]  # of words, in the batch laid out flat
    states.reshape(30, 6)[[0, 7, 8, 9, 14, 23, 29]] = np.nan  # padding, special tokens and the prompt
    start, stop = np.array(spans).T

    found = Pool.of(start, stop, pooling, "cpu")(torch.from_numpy(states)).numpy()

    of_word = [states.reshape(30, 6)[a:b] for a, b in spans]
    expected = {
        "mean": [tokens.mean(0) for tokens in of_word],
        "sum": [tokens.sum(0) for tokens in of_word],
        "first": [tokens[0] for tokens in of_word],
        "last": [tokens[-1] for tokens in of_word],
    }[pooling]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-6)


def test_half_precision_is_pooled_in_full():
    states = torch.full((1, 4096, 1), 1.01, dtype=torch.bfloat16)

    found = Pool.of(np.array([0]), np.array([4096]), "sum", "cpu")(states)

    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(4096 * float(states[0, 0, 0]))
