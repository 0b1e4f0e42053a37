"""``bet``: Behavior Transformers (Shafiullah et al. 2022, arXiv 2206.11251).

k-means divides the demonstrated actions into bins. A causal transformer reads the history of observations, and says
for each of them which bin the action was in, and where in it:

    u_1 .. u_T = transformer(eyes(o_1), .., eyes(o_T));  l_t = bin_head(u_t);  d_t = offset_head(u_t)     (bins, A)
    b_t  = the bin whose centre c_b is nearest to a_t
    loss = mean over valid t of [ focal(l_t, b_t)  +  w * (mean over motions |c_b + d_t,b - a_t|  +
                                  v * mean over two-valued BCE(d_t,b, a_t)) ],  b = b_t: of no other bin's offset
    a^   = c_b + d_T,b  of the likeliest bin, or of one that is drawn

A two-valued number (the gripper's) takes part in the bins as -1 or +1, so that the ways to go on that differ in it have
bins of their own; what it is in a bin is decided by its log-odds there, as in ``policies.imitation.bc``, and never by
a centre between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from policies.data.batch import Batch
from policies.data.windows import Windows
from policies.imitation.bc import errors
from policies.imitation.config import BetConfig
from policies.imitation.policy import ImitationPolicy, mean_of_valid
from policies.networks.categorical import draw, focal_loss
from policies.networks.layers import full_precision, zero
from policies.networks.transformer import Transformer
from policies.networks.vq import kmeans, nearest
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError


class Bet(ImitationPolicy):
    """See the module text.

    Attributes:
        centres: ``(bins, A)`` float32 of the bins, as ``ActionNormalizer.to_network`` has actions, two-valued ones -1
            and +1.
    """

    centres: torch.Tensor

    def __init__(self, contract: Contract, cfg: BetConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(contract, cfg, apart=True)
            self.options = cfg
            self.transformer = Transformer(self.eyes.size, contract.history, cfg.transformer)
            self.bin_head = nn.Linear(cfg.transformer.width, cfg.bins)
            self.offset_head = zero(nn.Linear(cfg.transformer.width, cfg.bins * contract.action.size))
        self.register_buffer("centres", torch.zeros(cfg.bins, contract.action.size))

    def rows(self, episodes: Sequence[Episode]) -> Windows:
        """Windows with the action at each observation of the history."""
        return Windows(self.contract, episodes, past=self.contract.history - 1)

    def measure(self, windows: Windows) -> None:
        """Take the statistics of demonstrations, and divide their actions into bins.

        Raises:
            PixelarmError: there are fewer different actions than bins.
        """
        super().measure(windows)
        try:
            centres = kmeans(self.placed(self.actions.to_network(windows.all_actions())).numpy(), self.options.bins)
        except PixelarmError as error:
            raise PixelarmError(f"too few demonstrated actions for algo.bins={self.options.bins}: {error}") from error
        self.centres.copy_(torch.from_numpy(centres))

    def placed(self, actions: torch.Tensor) -> torch.Tensor:
        """Actions ``(..., A)`` of the network as bins are of them."""
        return torch.where(self.actions.two_valued, 2.0 * actions - 1.0, actions)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        tokens, wanted, valid = self.learned_from(batch)  # (B, T, F), (B, T, A), (B, T)
        read, true = self.transformer(tokens).float(), nearest(self.placed(wanted), self.centres)
        with full_precision(read):
            logits = self.bin_head(read)
            motion, grip = errors(self.in_bin(read, true), wanted, self.actions.two_valued)
        losses = {
            "bin_loss": mean_of_valid(focal_loss(logits, true, self.options.focal), valid),
            "motion_loss": mean_of_valid(motion, valid),
            "two_valued_loss": mean_of_valid(grip, valid),
            "bin_accuracy": mean_of_valid((logits.argmax(dim=-1) == true).float(), valid),
        }
        within = losses["motion_loss"] + self.options.two_valued_weight * losses["two_valued_loss"]
        return {"loss": losses["bin_loss"] + self.options.offset_weight * within, **losses}

    def in_bin(self, read: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Actions ``(..., A)`` in the bins ``chosen`` ``(...)``, of what was read, ``(..., width)``."""
        offsets = self.offset_head(read).unflatten(-1, self.centres.shape)
        which = chosen[..., None, None].expand(*chosen.shape, 1, offsets.shape[-1])
        offset = offsets.gather(-2, which)[..., 0, :]
        return torch.where(self.actions.two_valued, offset, self.centres[chosen] + offset)

    def chunk(self, features: torch.Tensor) -> torch.Tensor:
        return self._answer(features, lambda logits: logits.argmax(dim=-1))

    def drawn(self, features: torch.Tensor) -> torch.Tensor:
        """As ``chunk``, of a bin that is drawn by its probability."""
        return self._answer(features, draw)

    def _answer(self, features: torch.Tensor, choose: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``choose``: from logits ``(B, bins)`` to one of the bins ``(B,)``."""
        read = self.transformer(features)[:, -1].float()
        with full_precision(read):
            return self.in_bin(read, choose(self.bin_head(read)))[:, None]
