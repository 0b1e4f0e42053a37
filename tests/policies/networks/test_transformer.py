"""The causal transformer: who reads whom, and where a token stands."""

import torch

from policies.config import TransformerConfig
from policies.networks.transformer import Transformer


def made(length: int = 4) -> Transformer:
    torch.manual_seed(0)
    return Transformer(3, length, TransformerConfig(layers=2, heads=2, width=8))


def test_a_later_token_does_not_change_an_earlier_output():
    network, tokens = made(), torch.randn(2, 4, 3)
    before = network(tokens)
    for at in range(4):
        changed = tokens.clone()
        changed[:, at] += 1.0
        after = network(changed)
        assert before.shape == (2, 4, 8) and torch.allclose(after[:, :at], before[:, :at], atol=1e-6)
        # itself, and all that come after it
        assert ((after[:, at:] - before[:, at:]).abs().amax(dim=(0, 2)) > 1e-4).all()


def test_where_a_token_stands_counts():
    network, token = made(), torch.randn(1, 1, 3)
    read = network(token.expand(1, 4, 3))
    assert (read[0, 1:] - read[0, :-1]).abs().amax(dim=1).min() > 1e-3
    torch.nn.init.zeros_(network.place)
    read = network(token.expand(1, 4, 3))
    assert torch.allclose(read, read[:, :1].expand(1, 4, 8), atol=1e-6)


def test_attention_of_one_token_is_its_own_value():
    """The softmax of one number is 1: the values go through the last layer, and heads split and join alike."""
    block = made(1).blocks[0]
    token = torch.randn(1, 1, 8)
    value = block.asked(token)[..., 16:]
    assert torch.allclose(block.attend(token), block.mixed(value), atol=1e-6)
