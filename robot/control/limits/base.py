"""What a filter is, what it is told, and the list that a target passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from robot.actions import Reference, Target
from robot.control.rules import Stop


@dataclass(frozen=True, eq=False)
class Context:
    """What is known when a target is checked."""

    measured: Reference  # of the observation that the target answers
    origin: Reference | None = None  # what the action counted from; None: what is measured
    previous: Target | None = None  # last published; None before the first
    stamp_ns: int = 0  # of that observation
    now_ns: int = 0  # same clock as the stamp
    enabled: bool = True  # the deadman is held, or none is required
    estopped: bool = False


class Limit(Protocol):
    """One filter of the list: returns the target, a changed one, or a ``Stop``, and counts how often it acted."""

    name: str
    count: int

    def apply(self, target: Target, context: Context) -> Target | Stop: ...


@runtime_checkable
class Braking(Protocol):
    """A filter that knows how the arm moves: it brings a motion to rest."""

    @property
    def resting(self) -> bool:
        """The last target that this filter made is the end of its motion."""

    def brake(self, held: Target, previous: Target, at_once: bool) -> Target:
        """``held`` with the next value on the way from ``previous`` to rest; ``at_once``: rest now."""


@runtime_checkable
class Containing(Protocol):
    """A filter that says where targets may be."""

    def contain(self, target: Target, measured: Reference) -> Target:
        """The nearest target that may be, or that is no further out than the arm is."""


@dataclass
class Limits:
    """The list, applied in order; the first ``Stop`` ends it."""

    filters: Sequence[Limit]
    # proprioception that the filters need to know, name -> size, whether the policy sees it or not
    needs: Mapping[str, int] = field(default_factory=dict)

    def apply(self, target: Target, context: Context) -> Target | Stop:
        for limit in self.filters:
            verdict = limit.apply(target, context)
            if isinstance(verdict, Stop):
                return verdict
            target = verdict
        return target

    def hold(self, previous: Target, at_once: bool = False) -> Target:
        """The target that holds an arm which was given ``previous``, the last one published.

        The same target again, without velocities; where a filter limits acceleration, the next target on the way to
        rest, except ``at_once``. Published once per control period, these come to rest (``resting``).
        """
        held = previous.to_hold()
        for limit in self.filters:
            if isinstance(limit, Braking):
                held = limit.brake(held, previous, at_once)
        return held

    def contain(self, target: Target, measured: Reference) -> Target:
        """A target that a hold makes of what is measured, where targets may be. An arm that stands outside is not moved
        further out, nor back in: nobody asked for that."""
        for limit in self.filters:
            if isinstance(limit, Containing):
                target = limit.contain(target, measured)
        return target

    @property
    def brakes(self) -> bool:
        """A hold comes to rest within limits of acceleration."""
        return any(isinstance(limit, Braking) for limit in self.filters)

    @property
    def resting(self) -> bool:
        """Nothing moves after the last target of ``hold``."""
        return all(limit.resting for limit in self.filters if isinstance(limit, Braking))

    def counts(self) -> dict[str, int]:
        """How often each filter acted."""
        return {limit.name: limit.count for limit in self.filters}
