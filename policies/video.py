"""Episodes as films and as strips of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_video(path: Path, frames: Sequence[np.ndarray], fps: float) -> Path:
    """Write ``(H, W, 3)`` uint8 frames as H.264 MP4, which every browser plays. H and W must be even."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def film_strip(frames: Sequence[np.ndarray], columns: int = 8, gap: int = 2) -> np.ndarray:
    """``columns`` frames evenly spread over an episode, side by side on white."""
    picks = np.linspace(0, len(frames) - 1, columns).round().astype(int)
    white = np.full((frames[0].shape[0], gap, 3), 255, np.uint8)
    parts: list[np.ndarray] = []
    for pick in picks:
        parts += [frames[pick], white]
    return np.concatenate(parts[:-1], axis=1)
