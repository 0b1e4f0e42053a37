"""Exploring for longer than a step: noise that lasts, or now and then one random choice that is held for a while.

A policy that was cloned from ten clean demonstrations has never seen itself fail: fingers that closed beside the object
stay closed, and independent noise of one step does not open them. Holding a random choice for several steps does
(temporally extended epsilon-greedy, arXiv 2006.01782; here durations are uniform, and half of the bursts turn the
gripper's command over while the policy goes on moving). Noise that lasts, an Ornstein-Uhlenbeck process (DDPG, arXiv
1509.02971), takes the hand centimetres off its course where independent noise takes it millimetres.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from policies.registry import choose
from robot.contract import Contract
from robot.errors import PixelarmError


class Exploration(ABC):
    """Changes actions that are sampled to explore. State for each row, so one row must stay one environment."""

    wants_values: bool = False  # of the states, to explore less where they are high

    @abstractmethod
    def apply(self, action: torch.Tensor, generator: torch.Generator, value: torch.Tensor | None) -> torch.Tensor:
        """Actions ``(B, size)`` in [-1, 1], some of them changed. ``value``: ``(B,)``, if it is wanted."""

    @abstractmethod
    def state_dict(self) -> dict[str, torch.Tensor]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, torch.Tensor], device: torch.device) -> None: ...


class Lasting(Exploration):
    """Adds noise to the motion that follows itself: x' = c x + sqrt(1 - c^2) std n, where c = exp(-1/steps) and n is
    standard normal.

    Args:
        size: of an action.
        gripper: whether its last number is a gripper's command, to which nothing is added.
        std: standard deviation, of [-1, 1].
        steps: control steps after which the noise has forgotten all but 1/e of what it was.
        known: the value of a state from which on nothing is added; below it the noise grows in proportion to what is
            missing, so that the policy explores where it does not know how to succeed. 0: the same noise everywhere.
        quiet: share of the time in which nothing is added, so that a long task is also seen as far as the policy alone
            brings it: noise at every step of it makes a rare success rarer.
        stretch: control steps after which, on average, it is drawn anew whether noise is added.
    """

    def __init__(
        self,
        size: int,
        gripper: bool,
        std: float = 0.4,
        steps: float = 10.0,
        known: float = 0.0,
        quiet: float = 0.0,
        stretch: float = 50.0,
    ) -> None:
        if not (0.0 <= std <= 2.0 and steps > 0.0 and known >= 0.0):
            raise PixelarmError(
                f"exploration lasting: std is 0 to 2, steps more than 0 and known at least 0, got {std}, {steps} and "
                f"{known}"
            )
        if not (0.0 <= quiet < 1.0 and stretch >= 1.0):
            raise PixelarmError(
                f"exploration lasting: quiet is at least 0 and less than 1, stretch at least 1 step, got {quiet} and "
                f"{stretch}"
            )
        self.moving, self.std, self.known, self.quiet, self.stretch = size - int(gripper), std, known, quiet, stretch
        self.keeps, self.wants_values = math.exp(-1.0 / steps), known > 0.0
        self.noise = torch.zeros(0, self.moving)
        self.silent = torch.zeros(0, dtype=torch.bool)

    def apply(self, action: torch.Tensor, generator: torch.Generator, value: torch.Tensor | None) -> torch.Tensor:
        drawn = self.std * torch.randn(len(action), self.moving, generator=generator, device=action.device)
        if len(self.noise) != len(action):
            self.noise, self.silent = drawn, torch.zeros(len(action), dtype=torch.bool, device=action.device)
        self.noise = self.keeps * self.noise + math.sqrt(1.0 - self.keeps**2) * drawn
        added = self.noise
        if self.quiet > 0.0:
            added = torch.where(self._silence(generator)[:, None], 0.0, added)
        if value is not None:
            added = added * (1.0 - value / self.known).clamp(0.0, 1.0)[:, None]
        moved = (action[:, : self.moving] + added).clamp(-1.0, 1.0)
        return torch.cat([moved, action[:, self.moving :]], dim=1)

    def _silence(self, generator: torch.Generator) -> torch.Tensor:
        """``(B,)`` bool: rows to which nothing is added now."""
        ends, silent = torch.rand(2, len(self.silent), generator=generator, device=self.silent.device)
        self.silent = torch.where(ends < 1.0 / self.stretch, silent < self.quiet, self.silent)
        return self.silent

    def state_dict(self) -> dict[str, torch.Tensor]:
        silent = {"silent": self.silent} if self.quiet > 0.0 else {}
        return {"noise": self.noise} | silent

    def load_state_dict(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        self.noise = state["noise"].to(device)
        self.silent = state.get("silent", torch.zeros(len(self.noise), dtype=torch.bool)).to(device)


class Bursts(Exploration):
    """Overwrites some of the actions.

    Args:
        size: of an action.
        gripper: whether its last number is a gripper's command, of which the sign counts.
        probability: of beginning a burst, a step.
        longest: steps; durations are uniform from 2 to this.
    """

    def __init__(self, size: int, gripper: bool, probability: float = 0.02, longest: int = 8) -> None:
        if not 0.0 <= probability <= 1.0 or longest < 2:
            raise PixelarmError(
                f"exploration bursts: probability is 0 to 1 and longest at least 2 steps, got {probability} and "
                f"{longest}"
            )
        self.size, self.gripper, self.probability, self.longest = size, gripper, probability, longest
        self.restart(0, torch.device("cpu"))

    def restart(self, rows: int, device: torch.device) -> None:
        self.left = torch.zeros(rows, device=device)  # steps
        self.held = torch.zeros(rows, self.size, device=device)  # in [-1, 1]
        self.of_gripper = torch.zeros(rows, dtype=torch.bool, device=device)

    def apply(self, action: torch.Tensor, generator: torch.Generator, value: torch.Tensor | None) -> torch.Tensor:
        if len(self.left) != len(action):
            self.restart(len(action), action.device)
        draws = torch.rand(len(action), self.size + 3, generator=generator, device=action.device)
        begins = (self.left == 0) & (draws[:, 0] < self.probability)
        duration = 2 + (draws[:, 1] * (self.longest - 1)).floor()
        choice = 2.0 * draws[:, 3:] - 1.0
        if self.gripper:
            self.of_gripper = torch.where(begins, draws[:, 2] < 0.5, self.of_gripper)
            choice = torch.cat([choice[:, :-1], -torch.sign(action[:, -1:])], dim=1)
        self.left = torch.where(begins, duration, self.left)
        self.held = torch.where(begins[:, None], choice, self.held)
        replaced = (self.left > 0)[:, None].expand_as(action).clone()
        if self.gripper:
            replaced[:, :-1] &= ~self.of_gripper[:, None]
            replaced[:, -1] &= self.of_gripper
        self.left = (self.left - 1).clamp(min=0)
        return torch.where(replaced, self.held, action)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"left": self.left, "held": self.held, "of_gripper": self.of_gripper}

    def load_state_dict(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        self.left, self.held, self.of_gripper = (state[k].to(device) for k in ("left", "held", "of_gripper"))


def _none(size: int, gripper: bool) -> None:
    """Only the actor's own noise."""


EXPLORATIONS: dict[str, Callable[..., Exploration | None]] = {"none": _none, "bursts": Bursts, "lasting": Lasting}


def make_exploration(item: Any, contract: Contract) -> Exploration | None:
    """What a configuration (``algo.exploration``) adds to the actor's own noise."""
    gripper = contract.action.names[-1] == "gripper"
    return choose(item, EXPLORATIONS, "exploration", "algo.exploration", skip=2)(contract.action.size, gripper)
