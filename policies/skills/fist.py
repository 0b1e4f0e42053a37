"""FIST: few-shot imitation with skill transition models (Hakhamaneshi et al. 2021, arXiv 2107.08981), from states.

Skills are learned from demonstrations of anything (``policies/skills/skill.py``), then fitted a little more to a few
demonstrations of a new task. At every control step the policy

1. looks up the demonstrations' state that is nearest to the present one: by the Euclidean distance of scaled states,
   or, with ``algo.distance=learned``, of their embeddings; ``algo.haste`` prefers states that are sooner at the end,
2. takes the state H control steps later in that same demonstration (or its last one) as where to go,
3. asks the inverse skill dynamics for the skill z that leads there, and the decoder for its action now.

What is looked up belongs to the policy: it is stored with the weights and exported with them, as constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.imitation.bc import mean_of
from policies.imitation.normalizers import ActionNormalizer
from policies.imitation.policy import Deployed, mean_of_valid
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation
from policies.skills.config import FistConfig
from policies.skills.skill import Distance, Gaussian, SkillModel
from policies.skills.windows import SkillBatch, SkillWindows, require_states
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError

STORED = ("seen", "ahead", "left")  # what is looked up; their number of rows is that of the demonstrations' states


class Fist(nn.Module):
    """See the module text, and ``policies.policy.FittedPolicy``.

    Attributes:
        seen, ahead: ``(M, F)`` float32, the demonstrations' normalised states, and those H steps later.
        left: ``(M,)`` float32, control steps from there to the demonstration's end.
    """

    seen: torch.Tensor
    ahead: torch.Tensor
    left: torch.Tensor
    embedded: torch.Tensor

    def __init__(self, contract: Contract, cfg: FistConfig, seed: int) -> None:
        super().__init__()
        require_states(contract)
        self.contract, self.cfg = contract, cfg
        self.joints = joints_in(contract)
        if cfg.nudge and self.joints is None:
            raise PixelarmError(
                "algo.nudge displaces joint positions and takes them back by joint velocities; "
                f"the contract of {contract.task} has not both: set algo.nudge=0"
            )
        self.normalizer = ProprioNormalizer(contract)
        self.actions = ActionNormalizer(contract, classify=True)
        size = len(self.normalizer.mean)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.skill = SkillModel(size, contract.action.size, cfg)
            self.distance = Distance(size, cfg)
        self.register_buffer("seen", torch.zeros(0, size))
        self.register_buffer("ahead", torch.zeros(0, size))
        self.register_buffer("left", torch.zeros(0))
        # ``seen`` as ``embed`` has it; empty: not computed since the weights changed
        self.register_buffer("embedded", torch.zeros(0, cfg.embedding), persistent=False)

    # ------------------------------------------------------------------- demonstrations
    def rows(self, episodes: Sequence[Episode]) -> SkillWindows:
        """What ``loss`` learns from."""
        return SkillWindows(self.contract, episodes, self.cfg.horizon)

    def measure(self, windows: SkillWindows) -> None:
        """Take the statistics of demonstrations that states and actions are scaled by."""
        self.normalizer.fit(windows.all_states(), self.cfg.state_floor)
        self.actions.fit(windows.all_actions(), self.cfg.action_floor)

    def widen(self, windows: SkillWindows) -> None:
        """Scale what stood still in the data of the skills by demonstrations in which it moves."""
        self.normalizer.widen(windows.all_states(), self.cfg.state_floor)

    def look_up(self, windows: SkillWindows) -> None:
        """From now on, look up the states of these demonstrations. Raises PixelarmError if there are none."""
        if not len(windows.states):
            raise PixelarmError("a policy that looks demonstrations up needs at least one: give it demos=FOLDER")
        self.seen, self.ahead, self.left = self._scaled(windows.states), self._scaled(windows.ahead()), windows.left()
        self._forget()

    def _scaled(self, states: torch.Tensor) -> torch.Tensor:
        return (states - self.normalizer.mean) / self.normalizer.std

    def _forget(self) -> None:
        self.embedded = self.embedded[:0]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in STORED:  # as many rows as there are
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, torch.empty_like(state_dict[f"{prefix}{name}"], device=self.seen.device))
        self._forget()
        super()._load_from_state_dict(state_dict, prefix, *args)

    # -------------------------------------------------------------------------- learning
    def loss(self, batch: SkillBatch) -> dict[str, torch.Tensor]:
        """See ``policies/skills/skill.py``; the parts of "loss" by name."""
        self._forget()
        states, wanted = self._scaled(batch.states), self.actions.to_network(batch.actions)
        before, start, end = states[:, :-1], states[:, 0], states[:, -1]
        posterior = self.skill.posterior(before, wanted)
        z = posterior.sample()
        rows = torch.arange(len(states), device=states.device)[:, None]
        k = torch.randint(self.cfg.horizon, (len(states), self.cfg.decoded), device=states.device)
        inverse, first = self.skill.inverse_dynamics(start, end), batch.valid[:, :1]
        losses = {
            "reconstruction": self._error(self.skill.decode(before[rows, k], z), wanted[rows, k], batch.valid[rows, k]),
            "kl": posterior.kl_to_unit().mean(),
            "inverse_nll": inverse.nll(z.detach()).mean() / self.cfg.latent,
            "inverse_error": self._error(*self._as_it_acts(batch, end), first),
            "contrast": self.distance.loss(start[batch.valid[:, -1]], end[batch.valid[:, -1]]),
        }
        total = losses["reconstruction"] + losses["inverse_nll"] + losses["contrast"]
        total = total + self.cfg.prior_weight * losses["kl"] + self.cfg.inverse_weight * losses["inverse_error"]
        if self.skill.prior is not None:
            losses["prior_nll"] = Gaussian(self.skill.prior(start)).nll(z.detach()).mean() / self.cfg.latent
            total = total + losses["prior_nll"]
        return {"loss": total, **losses}

    def _as_it_acts(self, batch: SkillBatch, end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first action ``(B, 1, A)`` by the inverse dynamics' skill in a displaced state, and the wanted one,
        both as the network has them.
        """
        states, actions = displaced(batch.states[:, 0], batch.actions[:, 0], self.joints, self.cfg.nudge, self.contract)
        start = self._scaled(states)
        answer = self.skill.decode(start, self.skill.inverse_dynamics(start, end).mean)
        return answer[:, None], self.actions.to_network(actions)[:, None]

    def _error(self, answer: torch.Tensor, wanted: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """L1 of motions, cross-entropy of two-valued numbers: as ``policies.imitation.bc``."""
        classes = self.actions.two_valued
        grip = F.binary_cross_entropy_with_logits(answer, wanted.clamp(0.0, 1.0), reduction="none")
        motion = mean_of_valid(mean_of((answer - wanted).abs(), ~classes), valid)
        return motion + self.cfg.two_valued_weight * mean_of_valid(mean_of(grip, classes), valid)

    # ---------------------------------------------------------------------------- acting
    def embed(self, states: torch.Tensor) -> torch.Tensor:
        """Normalised states ``(B, F)`` to where their Euclidean distance is the one that looks up."""
        return self.distance(states) if self.cfg.distance == "learned" else states

    def nearest(self, states: torch.Tensor) -> torch.Tensor:
        """Rows ``(B,)`` of ``seen`` that are nearest to normalised states ``(B, F)``."""
        if not len(self.seen):
            raise PixelarmError(
                "these skills have no demonstrations to look up, so they cannot act: `pixelarm adapt skills=RUN "
                "demos=FOLDER` gives them some"
            )
        if len(self.embedded) != len(self.seen):
            self.embedded = self.embed(self.seen).detach()
        away = (self.embed(states)[:, None] - self.embedded[None]).square().sum(dim=-1)
        return (away + self.cfg.haste * self.left).argmin(dim=1)

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.normalizer(observations)
        goal = self.ahead[self.nearest(state)]
        z = self.skill.inverse_dynamics(state, goal).mean
        return self.actions.to_physical(self.skill.decode(state, z))[:, None]

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units. ``sample`` changes nothing: it does not explore."""
        device = self.seen.device
        return self({name: value.to(device) for name, value in observations.items()}).cpu().numpy()

    @torch.no_grad()
    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``; with what is looked up."""
        self.nearest(self.seen[:1])  # embeds them all: what is exported are constants
        return Deployed(self)


def joints_in(contract: Contract) -> slice | None:
    """Where the joint positions are in a state, if the contract's actions are the velocities of the same joints."""
    start = 0
    for entry in contract.proprio:
        if entry.name == "joint_pos" and contract.action.kind == "joint_velocity":
            return slice(start, start + entry.size)
        start += entry.size
    return None


def displaced(
    states: torch.Tensor, actions: torch.Tensor, joints: slice | None, nudge: float, contract: Contract
) -> tuple[torch.Tensor, torch.Tensor]:
    """States with the arm beside where it was, and actions that take it back on the way.

    Demonstrations hold the arm within a centimetre of its way at objects, so they say little about how to come back to
    it. Joint velocities do: an arm that is displaced by d, and should be where it would have been, is labelled with a
    velocity that covers d less in the control step.

    Args:
        states, actions: ``(B, F)`` and ``(B, A)`` in the contract's units.
        nudge: rad, standard deviation; each row has its own share of it, from none to twice as much.
    """
    if not nudge or joints is None:
        return states, actions
    number = joints.stop - joints.start
    share = 2.0 * torch.rand(len(states), 1, device=states.device)
    by = nudge * share * torch.randn(len(states), number, device=states.device)
    states, actions = states.clone(), actions.clone()
    states[:, joints] += by
    low, high = (actions.new_tensor(bound[:number]) for bound in (contract.action.low, contract.action.high))
    actions[:, :number] = (actions[:, :number] - by / contract.period_s).clamp(low, high)
    return states, actions
