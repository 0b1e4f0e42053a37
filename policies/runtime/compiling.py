"""How an agent's update runs (``trainer.compile``): as it is written, compiled, or compiled and replayed as CUDA
graphs.

``default`` has torch.compile join the small operations of the losses; the first update of each kind then waits for a
compiler. ``cuda-graphs`` also records the kernels of each loss once and replays them together, for GPUs that wait for
Python otherwise. Convolutions and matrix products are the same library calls in all three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from robot.errors import PixelarmError, UnknownName

F = TypeVar("F", bound=Callable[..., Any])

# arguments of torch.compile; None: not compiled
MODES: dict[str, dict[str, Any] | None] = {"off": None, "default": {}, "cuda-graphs": {"mode": "reduce-overhead"}}


class Compiler:
    """One of ``MODES`` on a device; what the device cannot do is refused in words."""

    def __init__(self, mode: str, device: torch.device) -> None:
        if mode not in MODES:
            raise UnknownName("way to compile (trainer.compile)", mode, MODES)
        if mode == "cuda-graphs" and device.type != "cuda":
            raise PixelarmError(
                f"trainer.compile=cuda-graphs needs a CUDA device, this run is on {device.type}: set "
                f"trainer.compile=off or default"
            )
        if mode != "off" and device.type == "cpu":
            _require_cpp_compiler()
        self.graphs, self._arguments = mode == "cuda-graphs", MODES[mode]

    @property
    def on(self) -> bool:
        return self._arguments is not None

    def __call__(self, function: F) -> F:
        """The function, compiled for the sizes it is called with if so chosen. It must draw no random numbers."""
        return function if self._arguments is None else torch.compile(function, dynamic=False, **self._arguments)

    def begin(self) -> None:
        """Before an update: what a graph returned in the one before may be overwritten."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()

    def kept(self, metrics: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Metrics that outlive the next update."""
        return {name: number.clone() for name, number in metrics.items()} if self.graphs else metrics


def _require_cpp_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise PixelarmError(
            "trainer.compile=default on a CPU needs a C++ compiler, and none was found: install g++ (apt-get install "
            "g++) or set "
            "trainer.compile=off"
        ) from error
