"""Episodes as films and as strips of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_video(path: Path, frames: Sequence[np.ndarray], fps: float, enlarge: int = 1) -> Path:
    """Write ``(H, W, 3)`` uint8 frames as H.264 MP4, which every browser plays, each pixel ``enlarge`` times as large.

    H.264 wants even sizes: an odd last row or column is left out.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (enlarge * n // 2 * 2 for n in frames[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast"}
        for frame in frames:
            big = frame.repeat(enlarge, axis=0).repeat(enlarge, axis=1)[:height, :width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(big), format="rgb24")))
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
