"""``vqbet``: VQ-BeT (Lee et al. 2024, arXiv 2403.03181).

As ``policies.imitation.bet``, with chunks of actions, and codes that are learned in place of k-means: an autoencoder of
chunks whose middle is the sum of two codes, one of each of two books, of which the second says what the first leaves.
The first ``algo.code_share`` of a run's updates learn the codes, and nothing else:

    z = encoder(a);  k_1, k_2 = quantiser(z);  q = code_1[k_1] + code_2[k_2]
    loss = error(decoder(z + sg(q - z)), a)  +  c * |z - sg(q)|^2 / size of z          sg: without a gradient

The codes themselves follow moving averages (``policies.networks.vq``). Then they, the encoder and the decoder stay as
they are, and the rest learns to say which codes the chunk of actions from each observation on has, and how it differs:

    u_1 .. u_T = transformer(eyes(o_1), .., eyes(o_T));  l = first_head(u_t);  m = second_head(u_t)[k_1]
    a^_t = decoder(q_t) + offset_1[k_1] + offset_2[k_2],  offset_1, offset_2 = offset_heads(u_t)
    loss = mean over valid t of [ focal(l, k_1)  +  s * focal(m, k_2) ]  +  w * error(a^, a)

k_1 and k_2 are those of the true chunk; the offsets of no other code are in the loss. ``error`` is that of
``policies.imitation.bc``: L1 of motions, cross-entropy of two-valued numbers (the gripper's), of which decoder and
offset give the log-odds. The policy acts by the likeliest first code and the likeliest second one
after it, or draws both. With skills (``recipe.skills``) the codes are theirs, from the first update on: what the
heads have learned is about them, and ten demonstrations say little of new ones; new motions are the offsets' part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from policies.data.batch import Batch
from policies.data.windows import Windows
from policies.imitation.bc import errors
from policies.imitation.config import VqBetConfig
from policies.imitation.policy import ImitationPolicy, mean_of_valid
from policies.networks.categorical import draw, focal_loss
from policies.networks.layers import full_precision, mlp, zero
from policies.networks.transformer import Transformer
from policies.networks.vq import ResidualQuantiser, perplexity
from robot.contract import Contract
from robot.dataset.episodes import Episode

BOOKS = 2  # of codes: a primary and a secondary one, as in the paper

Choice = Callable[[torch.Tensor], torch.Tensor]
"""From logits ``(B, codes)`` to one of the codes ``(B,)``."""


class VqBet(ImitationPolicy):
    """See the module text.

    Attributes:
        settled: ``()`` bool, whether the codes stay as they are.
    """

    settled: torch.Tensor

    def __init__(self, contract: Contract, cfg: VqBetConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(contract, cfg, apart=True)
            self.options = cfg
            self.shape = (contract.chunk, contract.action.size)
            numbers, width = math.prod(self.shape), cfg.transformer.width
            self.encoder = mlp(numbers, cfg.hidden, cfg.latent, cfg.layers)
            self.decoder = mlp(cfg.latent, cfg.hidden, numbers, cfg.layers)
            self.quantiser = ResidualQuantiser(BOOKS, cfg.codes, cfg.latent, cfg.code_decay)
            self.transformer = Transformer(self.eyes.size, contract.history, cfg.transformer)
            self.first_head = nn.Linear(width, cfg.codes)
            self.second_head = nn.Linear(width, cfg.codes * cfg.codes)
            self.offset_heads = zero(nn.Linear(width, BOOKS * cfg.codes * numbers))
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))

    def rows(self, episodes: Sequence[Episode]) -> Windows:
        """Windows with the actions from each observation of the history on."""
        return Windows(self.contract, episodes, past=self.contract.history - 1)

    def begin(self, made: int, updates: int) -> None:
        """See ``policies.policy.FittedPolicy``. Once settled, the codes stay so."""
        if made >= self.options.code_share * updates:
            self.settled.fill_(True)

    # -------------------------------------------------------------------------- learning
    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        batch = self.mirrored(batch)
        wanted, valid = self.wanted(batch)
        chunks = wanted.unfold(1, self.shape[0], 1).transpose(2, 3)  # (B, T, chunk, A)
        counts = valid.unfold(1, self.shape[0], 1)  # (B, T, chunk)
        begins = counts[..., 0]  # not where the history goes back beyond the episode's beginning; the newest always
        if not self.settled:
            return self.loss_of_codes(chunks[begins], counts[begins])
        return self.loss_of_answers(self.viewed(batch), chunks, counts & begins[..., None])

    def loss_of_codes(self, chunks: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of chunks ``(N, chunk, A)``, of whose actions ``valid`` ``(N, chunk)`` count; and the codes follow them."""
        with full_precision(chunks):
            z = self.encoder(chunks.flatten(1))
            self.quantiser.learn(z.detach())
            chosen = self.quantiser(z.detach())
            q = self.quantiser.vectors(chosen)
            decoded = self.decoder(z + (q - z).detach()).unflatten(1, self.shape)
            motion, grip = errors(decoded, chunks, self.actions.two_valued)
        losses = {
            "code_motion_loss": mean_of_valid(motion, valid),
            "code_two_valued_loss": mean_of_valid(grip, valid),
            "commitment": (z - q).square().mean(),
            "first_codes": perplexity(chosen[:, 0], self.options.codes),
            "second_codes": perplexity(chosen[:, 1], self.options.codes),
        }
        error = losses["code_motion_loss"] + self.options.two_valued_weight * losses["code_two_valued_loss"]
        return {"loss": error + self.options.commitment * losses["commitment"], **losses}

    def loss_of_answers(
        self, tokens: torch.Tensor, chunks: torch.Tensor, valid: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of tokens ``(B, T, F)``, the chunks ``(B, T, chunk, A)`` from each of them on, and which of their actions
        count, ``(B, T, chunk)``.
        """
        read, begins = self.transformer(tokens).float(), valid[..., 0]
        with full_precision(read):
            with torch.no_grad():
                true = self.quantiser(self.encoder(chunks.flatten(2)))  # (B, T, 2)
            first, second = self.first_head(read), self.second(read, true[..., 0])
            motion, grip = errors(self.with_codes(read, true), chunks, self.actions.two_valued)
        losses = {
            "first_loss": mean_of_valid(focal_loss(first, true[..., 0], self.options.focal), begins),
            "second_loss": mean_of_valid(focal_loss(second, true[..., 1], self.options.focal), begins),
            "motion_loss": mean_of_valid(motion, valid),
            "two_valued_loss": mean_of_valid(grip, valid),
            "first_accuracy": mean_of_valid((first.argmax(dim=-1) == true[..., 0]).float(), begins),
            "second_accuracy": mean_of_valid((second.argmax(dim=-1) == true[..., 1]).float(), begins),
        }
        codes = losses["first_loss"] + self.options.secondary_weight * losses["second_loss"]
        error = losses["motion_loss"] + self.options.two_valued_weight * losses["two_valued_loss"]
        return {"loss": codes + self.options.offset_weight * error, **losses}

    # --------------------------------------------------------------------------- answers
    def second(self, read: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """Logits ``(..., codes)`` of the second code, of what was read, ``(..., width)``, and the first, ``(...)``."""
        return _row(self.second_head(read).unflatten(-1, (self.options.codes, -1)), first)

    def with_codes(self, read: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Chunks ``(..., chunk, A)`` of the codes ``(..., 2)``, of what was read, ``(..., width)``."""
        with torch.no_grad():
            decoded = self.decoder(self.quantiser.vectors(chosen))
        offsets = self.offset_heads(read).unflatten(-1, (BOOKS, self.options.codes, -1))
        moved = decoded + _row(offsets[..., 0, :, :], chosen[..., 0]) + _row(offsets[..., 1, :, :], chosen[..., 1])
        return moved.unflatten(-1, self.shape)

    def chunk(self, features: torch.Tensor) -> torch.Tensor:
        return self._answer(features, lambda logits: logits.argmax(dim=-1))

    def drawn(self, features: torch.Tensor) -> torch.Tensor:
        """As ``chunk``, of codes that are drawn by their probabilities."""
        return self._answer(features, draw)

    def _answer(self, features: torch.Tensor, choose: Choice) -> torch.Tensor:
        read = self.transformer(features)[:, -1].float()
        with full_precision(read):
            first = choose(self.first_head(read))
            second = choose(self.second(read, first))
            return self.with_codes(read, torch.stack([first, second], dim=-1))


def _row(rows: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """``(..., n)``, of ``rows`` ``(..., K, n)`` the one that ``which`` ``(...)`` names."""
    index = which[..., None, None].expand(*which.shape, 1, rows.shape[-1])
    return rows.gather(-2, index)[..., 0, :]
