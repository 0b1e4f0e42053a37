"""Pictures of recorded states: any camera, any size, drawn when they are wanted.

The pictures of an episode follow from its positions, so they need not be stored, and a policy that wants other cameras
needs no other data. They are drawn once, into a dataset of their own, and not each time a batch is drawn: training
looks at every frame many times, and drawing competes with it for the processor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot.contract import Camera, Contract
from robot.dataset import recording
from robot.dataset.episodes import Episode, Header, read_episode, read_header, write_episode
from robot.dataset.simulated import QPOS
from robot.errors import DatasetError, UnknownName
from sim.envs.config import TaskConfig
from sim.envs.make import configured_task
from sim.envs.task_world import build_world
from sim.physics.world import World
from sim.scene.names import camera_id
from sim.tasks.common.base import Task

PLAIN = "plain_look"  # the term of a recipe without textures


@dataclass(frozen=True)
class Drawing:
    """How episodes are drawn."""

    cameras: tuple[str, ...] = ()  # of the contract or of the scene; empty: the contract's
    size: int = 64  # pixels, height and width
    look: str = ""  # plain or textured; empty: plain
    renderer: str = "auto"  # see sim.rendering.renderer.make_renderer


class Painter:
    """Draws the episodes of one task."""

    def __init__(self, task: str, drawing: Drawing) -> None:
        made = configured_task(TaskConfig(name=task, image_size=drawing.size, look=drawing.look))
        cameras = drawing.cameras or tuple(camera.name for camera in made.contract.cameras)
        self.cameras = cameras
        self.world = build_world(made, drawing.renderer)
        self._behind = {name: made.camera_in_scene.get(name, name) for name in cameras}
        for name in self._behind.values():
            camera_id(self.world.model, name)  # an unknown one is refused here
        self.contract = with_cameras(made.contract, cameras, drawing.size)
        self.size = drawing.size
        self.recorded = {"look": _look(made), "renderer": self.world.drawn_by}

    def __call__(self, job: tuple[Path, Path]) -> int:
        """Draw the episode of the first path into the second; returns the number of its steps."""
        source, target = job
        episode = self.draw(read_episode(source))
        write_episode(target, episode)
        return len(episode)

    def draw(self, episode: Episode) -> Episode:
        """The same episode with pictures."""
        pictures = {name: np.stack(list(self.frames(episode, name))) for name in self._behind}
        how = {**recording.of(episode.provenance), **self.recorded}
        return dataclasses.replace(
            episode,
            contract=self.contract,
            observations={**pictures, **{p.name: episode.observations[p.name] for p in self.contract.proprio}},
            provenance={**episode.provenance, recording.KEY: how},
        )

    def frames(self, episode: Episode, camera: str) -> Iterator[np.ndarray]:
        """``(size, size, 3)`` uint8 at each observation."""
        for row in states_of(episode, self.world):
            yield self.picture(row, camera)

    def picture(self, qpos: np.ndarray, camera: str) -> np.ndarray:
        """``(size, size, 3)`` uint8 of one state, positions ``(nq,)``."""
        if camera not in self._behind:
            raise UnknownName("camera", camera, self._behind)
        self.world.data.qpos[:] = qpos
        return self.world.render_view(self._behind[camera], self.size, self.size)


def states_of(episode: Episode, world: World) -> np.ndarray:
    """``(N + 1, nq)`` positions of an episode. Raises DatasetError unless it has those of this scene."""
    qpos = episode.simulation.get(QPOS)
    if qpos is None:
        raise DatasetError("this episode has no states to draw; `pixelarm data make kitchen` keeps them")
    if qpos.shape[1] != world.model.nq:
        raise DatasetError(f"a state of this scene has {world.model.nq} numbers, not {qpos.shape[1]}: it is another's")
    return qpos


def with_cameras(contract: Contract, names: Sequence[str], size: int) -> Contract:
    """The contract with these cameras; those that it has itself stay as they are."""
    own = {camera.name: camera for camera in contract.cameras}
    made = {name: Camera(name, size, size, fps=contract.rate_hz, frame_id=f"{name}_optical_frame") for name in names}
    return dataclasses.replace(contract, cameras=tuple(own.get(name, made[name]) for name in names))


def _look(task: Task) -> str:
    return "plain" if PLAIN in task.recipe.terms else "textured"


def undrawn(source: Path, target: Path, headers: Sequence[Header], painter: Painter) -> list[tuple[Path, Path]]:
    """The episodes of ``source`` that ``target`` has not yet, as jobs, once those that it has are checked."""
    jobs = []
    for header in headers:
        path = target / header.path.name
        if not path.exists():
            jobs.append((header.path, path))
            continue
        there = read_header(path)
        differ = painter.contract.diff(there.contract)
        drawn = {**recording.of(header.provenance), **painter.recorded}
        found = recording.differences(drawn, recording.of(there.provenance))
        differ += [recording.words(name, *values) for name, values in found.items()]
        if there.provenance.get("seed") != header.provenance.get("seed"):
            differ.append("it is another episode")
        if differ:
            raise DatasetError(
                f"{path} (there) is not {header.path} drawn like this (here): {'; '.join(differ)}. Nothing was "
                "written; choose another folder, or the same options to go on"
            )
    return jobs
