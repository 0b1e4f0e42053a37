"""``pixelarm bench cameras``: what a camera's picture costs on its way from the driver to the policy.

Each step is taken by the very function that the nodes use. The transport is measured between two processes over DDS, as
ROS is set up here and with pixelarm's settings of Fast DDS.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from robot.control.timing import StageTimes
from robot.errors import PixelarmError
from robot.files import require_folder, write_json
from robot.images import CENTER, Fit
from robot.provenance import git_commit, hardware, versions
from robot.ros import messages, runtime, shared_memory

SIZES = ((640, 480), (1280, 720))  # width, height
FORMS = {  # how pictures are sent -> how a message is filled, and read
    "raw": (messages.to_image, messages.from_image),
    "JPEG": (messages.to_compressed, messages.from_compressed),
}
TOPIC, SEEN, TIMEOUT_S = "bench_cameras/image", 84, 20.0
COLUMNS = ("fill", "transport", "transport, 16 MiB", "decode", "fit", "on arrival")


def picture(width: int, height: int, number: int) -> np.ndarray:
    """``(height, width, 3)`` uint8: shapes, shades and a sensor's noise, which JPEG finds about as hard as a scene."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width] / height
    made = np.stack([128 + 80 * np.sin(6 * x + c + number) * np.cos(5 * y - c) for c in range(3)], axis=-1)
    for _ in range(12):
        left, top = rng.integers(0, width - 60), rng.integers(0, height - 60)
        made[top : top + rng.integers(20, 60), left : left + rng.integers(20, 60)] = rng.integers(0, 256, 3)
    return np.clip(made + rng.normal(0.0, 2.0, made.shape), 0, 255).astype(np.uint8)


def measure(width: int, height: int, form: str, frames: int) -> tuple[dict[str, Any], int]:
    """Milliseconds of processor time of each step but the transport, and the bytes of a message."""
    fill, read = FORMS[form]
    fit, stages = Fit(resize=CENTER), StageTimes(time.thread_time)
    pictures = [picture(width, height, number) for number in range(4)]
    size = 0
    for number in range(frames + 3):
        pixels = pictures[number % len(pictures)]
        taken = StageTimes(time.thread_time) if number < 3 else stages  # the first ones warm up
        with taken.measure("fill"):
            message = fill(SimpleNamespace(), pixels)
        with taken.measure("decode"):
            whole = read(message)
        with taken.measure("fit"):
            fit(whole, SEEN, SEEN)
        with taken.measure("on arrival"):  # as the policy node does both, colours last
            read(message, lambda part: fit(part, SEEN, SEEN))
        size = len(message.data)
    return stages.to_dict(), size


# ----------------------------------------------------------------------------------------------------------- transport
def transported(width: int, height: int, form: str, frames: int, rate_hz: float, settings: str) -> dict[str, Any]:
    """Milliseconds from the call that publishes a filled message to its arrival in another process, and those lost.

    Args:
        settings: path of a settings file of Fast DDS; empty: as ROS is set up.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    arguments = (width, height, form, frames, rate_hz)
    before = {name: os.environ.get(name) for name in (shared_memory.OLD_VARIABLE, shared_memory.VARIABLE)}
    if settings:
        os.environ.update(dict.fromkeys(before, settings))
    hears = spawn.Process(target=_hear, args=(there, form), daemon=True)
    sends = spawn.Process(target=_send, args=arguments, daemon=True)
    try:
        hears.start()
        there.close()
        if not here.poll(TIMEOUT_S):
            raise PixelarmError(f"a process that hears images did not start within {TIMEOUT_S:g} s")
        here.recv()
        sends.start()
        sends.join(frames / rate_hz + TIMEOUT_S)
        here.send("end")
        found = here.recv() if here.poll(TIMEOUT_S) else []
    finally:
        for process in (hears, sends):
            if process.pid is not None:
                process.kill()
                process.join()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    stages = StageTimes(time.perf_counter)
    for ms in found:
        stages.add("transport", ms)
    return {**stages.to_dict().get("transport", {"n": 0}), "sent": frames}


def _quality() -> Any:
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def _kind(form: str) -> Any:
    from sensor_msgs.msg import CompressedImage, Image

    return Image if form == "raw" else CompressedImage


def _hear(pipe: Connection, form: str) -> None:
    import rclpy

    rclpy.init()
    node, found = rclpy.create_node("bench_cameras_hears"), []

    def on_image(message: Any) -> None:
        found.append((time.time_ns() - messages.stamp_ns(message.header.stamp)) * 1e-6)

    node.create_subscription(_kind(form), TOPIC, on_image, _quality())
    pipe.send("ready")
    while not pipe.poll():
        rclpy.spin_once(node, timeout_sec=0.1)
    pipe.send(found)


def _send(width: int, height: int, form: str, frames: int, rate_hz: float) -> None:
    import rclpy

    rclpy.init()
    node = rclpy.create_node("bench_cameras_sends")
    publisher = node.create_publisher(_kind(form), TOPIC, _quality())
    made = [FORMS[form][0](_kind(form)(), picture(width, height, number)) for number in range(4)]
    until = time.monotonic() + TIMEOUT_S / 2
    while not publisher.get_subscription_count() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    due = time.monotonic()
    for number in range(frames):
        time.sleep(max(0.0, due - time.monotonic()))
        message = made[number % len(made)]
        messages.set_stamp(message.header, time.time_ns())
        publisher.publish(message)
        due += 1.0 / rate_hz
    time.sleep(0.5)


# -------------------------------------------------------------------------------------------------------------- command
def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: p50 / p99 of each step, and what the transport lost."""
    lines = [f"| image | kB | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for row in rows:
        cells = [_cell(row["ms"].get(column)) for column in COLUMNS]
        lines.append(
            f"| {row['width']}x{row['height']} {row['form']} | {row['bytes'] / 1e3:.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    words = f"{found['p50']:.2f} / {found['p99']:.2f}" if found["n"] else "nothing came"
    lost = found.get("sent", found["n"]) - found["n"]
    return f"{words}, {100 * lost / found['sent']:.0f} % lost" if lost > 0 else words


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm bench cameras",
        description="What a camera's picture costs, p50 / p99 in ms for each frame. In processor time: filling the "
        f"message (for JPEG with encoding), decoding it, fitting it to {SEEN}x{SEEN} pixels (the centred square, by "
        "area averages), and decoding and fitting as the policy node does both when a message arrives. On the clock: "
        "transport between two processes, once as ROS is set up here and once with 16 MiB of shared memory "
        "(hardware/ros/fastdds.xml).",
    )
    add = parser.add_argument
    add("--frames", type=int, default=200, help="of each kind (default: %(default)s)")
    add("--rate", type=float, default=20.0, metavar="HZ", help="of the transport (default: %(default)g)")
    add("--no-ros", action="store_true", help="leave the transport out, which needs rclpy")
    add("--json", action="store_true", help="print the whole result as JSON instead of the table")
    add("--out", type=Path, default=Path("runs/bench-cameras"), help="folder for bench.json (default: %(default)s)")
    args = parser.parse_args(argv)
    if not 1 <= args.frames <= 100_000 or not 0.1 <= args.rate <= 1000:
        raise PixelarmError(
            "--frames must lie between 1 and 100000 and --rate between 0.1 and 1000, got "
            f"{args.frames} and {args.rate:g}"
        )
    require_folder(args.out)
    if not args.no_ros and find_spec("rclpy") is None:
        raise PixelarmError("the transport needs rclpy, which is not here; --no-ros leaves it out")
    runtime.settle_discovery()
    rows = [_row(width, height, form, args) for width, height in SIZES for form in FORMS]
    result = {
        "suite": "cameras",
        "command": "pixelarm bench cameras " + shlex.join(argv),
        "git": git_commit(),
        "hardware": hardware(),
        "versions": versions(("pixelarm", "numpy", "pillow")),
        "rate_hz": args.rate,
        "rows": rows,
    }
    print(json.dumps(result, indent=1) if args.json else table(rows))
    write_json(args.out / "bench.json", result)
    return 0


def _row(width: int, height: int, form: str, args: argparse.Namespace) -> dict[str, Any]:
    found, size = measure(width, height, form, args.frames)
    settings = {"transport": "", "transport, 16 MiB": str(shared_memory.shipped())}
    for name, file in settings.items() if not args.no_ros else ():
        found[name] = transported(width, height, form, args.frames, args.rate, file)
    return {"width": width, "height": height, "form": form, "bytes": size, "ms": found}
