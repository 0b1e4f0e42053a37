"""Domain randomisation: a list of small terms, each drawn once per episode from the episode's own random stream.

What was drawn is plain numbers, recorded with the episode; the same numbers give the same world again. Object poses are
not here: they are each task's own reset distribution.

A term has a name, ``draw(model, rng)`` which returns numbers, and ``apply(model, base, drawn)`` which writes them into
the model, starting from the untouched values in ``base``. Terms about time and sensors write nothing into the model;
the environment reads their numbers (``ms``, ``sigma``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import mujoco
import numpy as np

from robot.errors import UnknownName
from sim.scene.terms import own_colour

Drawn = dict[str, Any]
_FIELDS = (
    "mat_rgba", "geom_rgba", "light_dir", "light_diffuse", "cam_pos", "cam_quat", "cam_fovy", "geom_friction",
    "body_mass", "body_inertia",
)  # fmt: skip


class Term(Protocol):
    name: ClassVar[str]

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn: ...

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None: ...


@dataclass(frozen=True)
class Colours:
    """Every colour times a random tint, per channel, and clipped to what a pixel can show."""

    name: ClassVar[str] = "colours"
    spread: float = 0.2  # relative, each way

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        tints = rng.uniform(1 - self.spread, 1 + self.spread, (model.nmat + model.ngeom, 3))
        return {"tints": tints.round(4).tolist()}

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        tints = np.array(drawn["tints"])
        model.mat_rgba[:, :3] = np.clip(base["mat_rgba"][:, :3] * tints[: model.nmat], 0, 1)
        own = own_colour(model)  # touching the others' default colour would take their material from them
        model.geom_rgba[own, :3] = np.clip(base["geom_rgba"][own, :3] * tints[model.nmat :][own], 0, 1)


@dataclass(frozen=True)
class Lights:
    """The direction of each light tilted, its strength scaled."""

    name: ClassVar[str] = "lights"
    tilt: float = 0.15  # standard deviation added to each component of the unit direction
    spread: float = 0.2  # relative strength, each way

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {
            "tilt": rng.normal(0, self.tilt, (model.nlight, 3)).round(4).tolist(),
            "strength": rng.uniform(1 - self.spread, 1 + self.spread, model.nlight).round(4).tolist(),
        }

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        direction = base["light_dir"] + np.array(drawn["tilt"]).reshape(-1, 3)
        model.light_dir[:] = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        model.light_diffuse[:] = base["light_diffuse"] * np.array(drawn["strength"])[:, None]


@dataclass(frozen=True)
class CameraPose:
    """Each camera moved, turned and zoomed a little."""

    name: ClassVar[str] = "camera"
    metres: float = 0.01  # standard deviation of each coordinate
    degrees: float = 1.0  # standard deviation of the rotation about each axis
    fovy_degrees: float = 1.0  # standard deviation of the vertical field of view

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {
            "move": rng.normal(0, self.metres, (model.ncam, 3)).round(5).tolist(),
            "turn": np.radians(rng.normal(0, self.degrees, (model.ncam, 3))).round(5).tolist(),
            "fovy": rng.normal(0, self.fovy_degrees, model.ncam).round(4).tolist(),
        }

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        model.cam_pos[:] = base["cam_pos"] + np.array(drawn["move"])
        model.cam_fovy[:] = np.clip(base["cam_fovy"] + np.array(drawn["fovy"]), 5.0, 170.0)
        for camera, turn in enumerate(np.array(drawn["turn"])):
            quaternion = base["cam_quat"][camera].copy()
            mujoco.mju_quatIntegrate(quaternion, turn, 1.0)
            model.cam_quat[camera] = quaternion


@dataclass(frozen=True)
class Friction:
    """All sliding, torsional and rolling friction times one factor."""

    name: ClassVar[str] = "friction"
    low: float = 0.8
    high: float = 1.25

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {"factor": round(float(rng.uniform(self.low, self.high)), 4)}

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        model.geom_friction[:] = base["geom_friction"] * drawn["factor"]


@dataclass(frozen=True)
class Mass:
    """Mass and inertia of every free body and what is fixed to it (the objects,
    not the arm) times a factor of its own.
    """

    name: ClassVar[str] = "mass"
    low: float = 0.7
    high: float = 1.4

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {str(body): round(float(rng.uniform(self.low, self.high)), 4) for body in _free_bodies(model)}

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        for body, factor in drawn.items():
            whole = model.body_rootid == int(body)
            model.body_mass[whole] = base["body_mass"][whole] * factor
            model.body_inertia[whole] = base["body_inertia"][whole] * factor


@dataclass(frozen=True)
class _Milliseconds:
    """A delay of the episode, uniform between ``low`` and ``high`` milliseconds."""

    low: float = 0.0
    high: float = 50.0

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {"ms": round(float(rng.uniform(self.low, self.high)), 2)}

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        return


@dataclass(frozen=True)
class ActuationDelay(_Milliseconds):
    """From an action to the controller hearing of it: one value an episode, in place of the environment's own range."""

    name: ClassVar[str] = "actuation_delay"


@dataclass(frozen=True)
class ObservationDelay(_Milliseconds):
    """From the moment an observation shows to the moment it is acted on."""

    name: ClassVar[str] = "observation_delay"
    high: float = 30.0


@dataclass(frozen=True)
class ImageNoise:
    """Gaussian noise on every pixel, of one standard deviation an episode."""

    name: ClassVar[str] = "image_noise"
    high: float = 6.0  # largest standard deviation, of 255

    def draw(self, model: mujoco.MjModel, rng: np.random.Generator) -> Drawn:
        return {"sigma": round(float(rng.uniform(0.0, self.high)), 3)}

    def apply(self, model: mujoco.MjModel, base: dict[str, np.ndarray], drawn: Drawn) -> None:
        return


TERMS: dict[str, type] = {
    term.name: term
    for term in (Colours, Lights, CameraPose, Friction, Mass, ActuationDelay, ObservationDelay, ImageNoise)
}


def make_terms(names: Sequence[str]) -> list[Term]:
    """Terms by name with their default ranges; an unknown name lists those that exist."""
    for name in names:
        if name not in TERMS:
            raise UnknownName("randomisation term", name, TERMS)
    return [TERMS[name]() for name in names]


@dataclass
class Randomiser:
    """Draws and applies a list of terms to one model."""

    model: mujoco.MjModel
    terms: Sequence[Term]
    drawn: dict[str, Drawn] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._base = {name: getattr(self.model, name).copy() for name in _FIELDS}

    def draw(self, rng: np.random.Generator) -> dict[str, Drawn]:
        """New numbers for an episode, written into the model."""
        self.set({term.name: term.draw(self.model, rng) for term in self.terms})
        return self.drawn

    def set(self, drawn: dict[str, Drawn]) -> None:
        """Make the model what ``drawn`` says, whatever it was before."""
        for name, values in self._base.items():
            getattr(self.model, name)[:] = values
        self.drawn = drawn
        for term in self.terms:
            term.apply(self.model, self._base, drawn[term.name])
        if "mass" in drawn:
            mujoco.mj_setConst(self.model, mujoco.MjData(self.model))  # what MuJoCo derives from masses

    def number(self, term: str, key: str) -> float | None:
        """One drawn number, such as ``("image_noise", "sigma")``; None if the term is not in the list."""
        return self.drawn[term][key] if term in self.drawn else None


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """``(H, W, C)`` uint8 with Gaussian noise of ``sigma`` of 255."""
    return np.clip(image + rng.normal(0.0, sigma, image.shape), 0, 255).round().astype(np.uint8)


def _free_bodies(model: mujoco.MjModel) -> list[int]:
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    return [int(body) for body in model.jnt_bodyid[free]]
