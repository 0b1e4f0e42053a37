"""A small causal transformer over a history of observations, in the shape of GPT-2 (Radford et al. 2019) with LayerNorm
before each part.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from policies.config import TransformerConfig

STD = 0.02  # of new weights and positions, as GPT-2


class Transformer(nn.Module):
    """From tokens ``(B, T, inputs)`` to as many ``(B, T, cfg.width)``, each of which has read itself and those before.

    Tokens enter through a linear layer, and where they stand is learned. There is no dropout: the same tokens give the
    same numbers in learning and in acting.

    Args:
        length: T, the only one it takes.
    """

    def __init__(self, inputs: int, length: int, cfg: TransformerConfig) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, cfg.width)
        self.place = nn.Parameter(torch.empty(length, cfg.width))
        self.blocks = nn.Sequential(*(Block(cfg.width, cfg.heads) for _ in range(cfg.layers)))
        self.leave = nn.LayerNorm(cfg.width)
        nn.init.normal_(self.place, std=STD)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=STD)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.enter.weight, std=inputs**-0.5)  # what enters has unit spread, and is no embedding

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.leave(self.blocks(self.enter(tokens) + self.place))


class Block(nn.Module):
    """Causal attention, then a layer of four times the width for each token by itself; both are added to what came.

    Args:
        heads: of the attention; they share the width equally.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_each = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.each = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attend(self.before_attention(tokens))
        return tokens + self.each(self.before_each(tokens))

    def attend(self, tokens: torch.Tensor) -> torch.Tensor:
        """``(B, T, width)``, each mixed of the values of the tokens up to it."""
        heads = self.asked(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, heads, T, n)
        query, key, value = heads.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.mixed(mixed.transpose(1, 2).flatten(2))
