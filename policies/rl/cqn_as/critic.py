"""CQN-AS: values of whole action sequences, found by zooming in (Seo and Abbeel 2024, arXiv 2411.12155).

Each dimension of each action is divided into bins, the chosen bin into bins again, and so on for a few levels: the
coarse-to-fine critic CQN (Seo et al. 2024, arXiv 2407.07787). There is no actor: the greedy bins are the action. All K
actions of a sequence are valued at once, each from the actions before it through a recurrent network, and each learns
from its own counterpart one step on.

The numbers are those of cfgs/config_cqn_as_*.yaml in the authors' repository younggyoseo/CQN-AS. For RLBench and BiGym
it takes a width of 512, 2 layers, a target rate of 0.02 and a discount of 0.99, and weighs the temporal-difference loss
0.1 against 1 of the cloning loss (a ``bc_weight`` of 10 here). Differences:

* one trunk serves both streams of the dueling network, where the authors have a trunk each, and BiGym's two layers
  before it are not there;
* bins of equal value go to the middle one, where the authors draw at random: an untrained policy holds still on a
  robot.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from policies.config import EncoderConfig
from policies.networks.categorical import bellman, cross_entropy, expectation, make_support
from policies.networks.encoder import Trunk
from policies.rl.config import SequenceCriticConfig
from robot.contract import Contract
from robot.errors import PixelarmError

TIE = 1e-4  # bins whose values differ by less count as equal, as in the authors' cqn_utils.py


class GRU(nn.Module):
    """``torch.nn.GRU`` of one layer, ``(N, K, size)`` to the same, written out:
    torch.compile does not look into torch's own.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.inputs, self.recurrent = nn.Linear(size, 3 * size), nn.Linear(size, 3 * size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, states = x.new_zeros(len(x), self.size), []
        for gates in self.inputs(x).unbind(dim=1):
            reset, update, new = gates.chunk(3, dim=1)
            old_reset, old_update, old_new = self.recurrent(state).chunk(3, dim=1)
            update = torch.sigmoid(update + old_update)
            new = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
            state = new + update * (state - new)
            states.append(state)
        return torch.stack(states, dim=1)


class Stream(nn.Module):
    """One side of the dueling network: layers for each step by itself, a recurrence over the steps,
    a head that starts at zero.
    """

    def __init__(self, inputs: int, hidden: int, layers: int, layer_norm: bool, outputs: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in [inputs] + [hidden] * (layers - 1):
            linear = nn.Linear(width, hidden, bias=not layer_norm)
            nn.init.orthogonal_(linear.weight)
            parts += [linear, *([nn.LayerNorm(hidden)] if layer_norm else []), nn.SiLU()]
        head = nn.Linear(hidden, outputs)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.net = nn.Sequential(*parts, GRU(hidden), head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(N, K, inputs)`` to ``(N, K, outputs)``."""
        return self.net(x).float()


class SequenceCritic(nn.Module):
    """One coarse-to-fine critic of sequences of ``sequence`` actions."""

    trunk: Trunk
    support: torch.Tensor
    powers: torch.Tensor  # cells of the finest level in a bin of each level, (levels,)
    step_code: torch.Tensor  # one-hot rows, (K, K)
    level_code: torch.Tensor  # (levels, levels)

    def __init__(self, contract: Contract, conv_size: int, encoder: EncoderConfig, cfg: SequenceCriticConfig) -> None:
        super().__init__()
        steps, levels, bins, atoms = cfg.steps, cfg.levels, cfg.bins, cfg.atoms
        if min(cfg.layers, steps, levels) < 1 or min(bins, atoms) < 2 or not cfg.low < cfg.high:
            raise PixelarmError(
                f"algo.critic needs layers, steps and levels >= 1, bins and atoms >= 2 and low < high, got {cfg}"
            )
        if bins**levels > 2**20:  # float32 tells cells apart up to there, with room
            raise PixelarmError(f"algo.critic divides an action into {bins}^{levels} cells; at most 2^20 make sense")
        self.sequence, self.dimensions = steps, contract.action.size
        self.levels, self.bins, self.atoms, self.margin = levels, bins, atoms, cfg.margin
        self.trunk = Trunk(contract, conv_size, encoder)
        inputs = self.trunk.size + self.dimensions + steps + levels
        shape = (inputs, cfg.hidden, cfg.layers, cfg.layer_norm)
        self.state_value = Stream(*shape, self.dimensions * atoms)
        self.advantage = Stream(*shape, self.dimensions * bins * atoms)
        self.register_buffer("support", make_support(cfg.low, cfg.high, atoms))
        self.register_buffer("powers", torch.tensor([bins**n for n in reversed(range(levels))]), persistent=False)
        self.register_buffer("step_code", torch.eye(steps), persistent=False)
        self.register_buffer("level_code", torch.eye(levels), persistent=False)

    def predict(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Logits ``(B, levels, K, A, atoms)`` of the bins that hold the actions ``(B, K, A)`` at each level."""
        bins, centres = self.encode(action)
        logits = self.logits(self.trunk(convolved, proprio), centres)
        return _of(logits, bins).squeeze(-2)

    forward = predict

    def value(self, prediction: torch.Tensor) -> torch.Tensor:
        """The mean over levels, steps and dimensions, ``(B,)``."""
        return expectation(prediction, self.support).flatten(1).mean(dim=1)

    def target(self, prediction: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(B, levels, K, A, atoms)``: each bin's from the same step, dimension and level of the next
        sequence.

        Args:
            prediction: of the target network for the next state's greedy sequence, as ``predict`` gives it.
            reward: ``(B,)``, of all n steps.
            discount: ``(B,)``, gamma to the n, 0 where the task ended.
        """
        return bellman(prediction, self.support, reward, discount, torch.zeros_like(reward))

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy to the target's probabilities, a scalar: mean over the batch and all bins."""
        return cross_entropy(prediction, target).flatten(1).mean(dim=1).mean()

    def best(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """The greedy sequence ``(B, K, A)``: the middle of the bin with the highest value, level by level."""
        features = self.trunk(convolved, proprio)
        low, width = features.new_full((len(features), self.sequence, self.dimensions), -1.0), 2.0
        for level in range(self.levels):
            logits = self.logits(features, (low + width / 2)[:, None], level).squeeze(1)
            values = expectation(logits, self.support)
            tied = values.amax(dim=-1) - values.amin(dim=-1) < TIE
            width /= self.bins
            low = low + width * torch.where(tied, self.bins // 2, values.argmax(dim=-1))
        return low + width / 2

    def cloning_loss(
        self, convolved: torch.Tensor, proprio: torch.Tensor, actions: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """How far demonstrated bins are from leading all others, 0 where they do; scalar, mean over rows by ``weight``
        ``(B,)``.

        Two terms, each a mean over levels, steps, dimensions and bins: by how much the demonstrated bin's distribution
        fails to dominate another's (area by which its cumulative probabilities lie above), and by how much its mean
        fails to lead by ``margin``.
        """
        bins, centres = self.encode(actions)
        probabilities = self.logits(self.trunk(convolved, proprio), centres).softmax(dim=-1)
        shown = _of(probabilities, bins)
        above = F.relu(shown.cumsum(dim=-1) - probabilities.cumsum(dim=-1)).sum(dim=-1)
        lead = ((shown - probabilities) * self.support).sum(dim=-1)
        behind = F.relu(self.margin - lead)
        # a bin's margin over itself is a constant, taken off so that a perfect clone has no loss
        loss = (above + behind).flatten(1).mean(dim=1) - self.margin / self.bins
        if weight is None:
            return loss.mean()
        return (loss * weight).sum() / weight.sum().clamp(min=1.0)

    def encode(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of actions ``(B, K, A)`` in [-1, 1]: the bin at each level, and the middle of the interval that its level
        divides.

        Returns:
            Two ``(B, levels, K, A)``, int64 and float32.
        """
        bins, levels = self.bins, self.levels
        cells = bins**levels
        finest = ((actions.float() + 1.0) * (cells / 2)).floor().clamp(0, cells - 1).long()
        powers = self.powers[:, None, None]
        cell = finest[:, None] // powers  # among all cells of its level
        parent = cell // bins
        return cell % bins, (parent + 0.5) * (2.0 * bins * powers / cells) - 1.0

    def logits(self, features: torch.Tensor, centres: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Logits ``(B, L, K, A, bins, atoms)`` of every bin at ``L`` levels from ``first`` on.

        Args:
            features: ``(B, size)`` of the trunk.
            centres: ``(B, L, K, A)``, middle of the interval that each level divides.
        """
        batch, levels, steps, dimensions = centres.shape
        level_code = self.level_code[first : first + levels]
        parts = [
            features[:, None, None].expand(-1, levels, steps, -1),
            centres,
            self.step_code.expand(batch, levels, -1, -1),
            level_code[:, None].expand(batch, -1, steps, -1),
        ]
        x = torch.cat(parts, dim=-1).flatten(0, 1)
        shape = (batch, levels, steps, dimensions, -1, self.atoms)
        value, advantage = self.state_value(x).reshape(shape), self.advantage(x).reshape(shape)
        return value + advantage - advantage.mean(dim=-2, keepdim=True)


def _of(distributions: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Those of the ``bins`` ``(B, L, K, A)`` out of ``(B, L, K, A, bins, atoms)``, with one bin left."""
    return distributions.take_along_dim(bins[..., None, None], dim=-2)
