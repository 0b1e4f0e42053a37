"""Pictures of several cameras to a network's input, in one pass over their pixels."""

from __future__ import annotations

import numpy as np
import torch

try:  # part of the extra [sim]; where it is missing, torch does the same in five passes
    from numba import njit
except ImportError:  # pragma: no cover
    njit = None


def join(images: list[torch.Tensor]) -> torch.Tensor:
    """Pictures ``(B, C_i, H, W)`` of several cameras, uint8 or float in 0..255, by channel, in [-0.5, 0.5].

    Returns:
        ``(B, sum of C_i, H, W)`` float32 or of autocast's type, channels last in memory.
    """
    if njit is not None and all(map(_plain_bytes, images)) and not torch.compiler.is_compiling():
        joined = _join_bytes(images)
    else:
        # in place, on torch.cat's own copy, and the order in memory first, because these passes over the pixels cost as
        # much as a layer
        joined = torch.cat(images, dim=1)
        joined = joined.to(torch.float32, memory_format=torch.channels_last).mul_(1.0 / 255.0).sub_(0.5)
    kind = joined.device.type
    return joined.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else joined


def _plain_bytes(images: torch.Tensor) -> bool:
    """Whether these are bytes of the processor's memory, each pixel's channels side by side."""
    ours = type(images) is torch.Tensor and images.device.type == "cpu" and images.dtype == torch.uint8
    return ours and images.permute(0, 2, 3, 1).is_contiguous() and not torch.jit.is_tracing()


def _join_bytes(images: list[torch.Tensor]) -> torch.Tensor:
    batch, _, height, width = images[0].shape
    joined = torch.empty(batch, height, width, sum(i.shape[1] for i in images))
    pixels, first = joined.view(batch * height * width, -1).numpy(), 0
    for camera in images:
        channels = camera.shape[1]
        _scale(camera.permute(0, 2, 3, 1).reshape(-1, channels).numpy(), pixels[:, first : first + channels])
        first += channels
    return joined.permute(0, 3, 1, 2)


def _scale_pixels(bytes_: np.ndarray, out: np.ndarray) -> None:
    """``(N, C)`` bytes into a part ``(N, C)`` of float32 pixels, rounded as torch rounds."""
    scale, half = np.float32(1.0 / 255.0), np.float32(0.5)
    if bytes_.shape[1] == 3:  # written out, colours take half the time
        for i in range(bytes_.shape[0]):
            out[i, 0] = np.float32(bytes_[i, 0]) * scale - half
            out[i, 1] = np.float32(bytes_[i, 1]) * scale - half
            out[i, 2] = np.float32(bytes_[i, 2]) * scale - half
        return
    for i in range(bytes_.shape[0]):
        for c in range(bytes_.shape[1]):
            out[i, c] = np.float32(bytes_[i, c]) * scale - half


_scale = _scale_pixels if njit is None else njit(cache=True)(_scale_pixels)
