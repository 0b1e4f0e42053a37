"""Teleoperation of the simulated arm with its page open in a browser: for the scripts of this folder, run by hand."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent)]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))

from browser import Tab, browser  # noqa: E402
from page_rig import free_port  # noqa: E402

SETTLE_S = 3.0  # after the page has command: the scene is still, pictures come


@asynccontextmanager
async def opened_page(*options: str, phone: bool = False) -> AsyncIterator[Tab]:
    """Its tab, once the operator has command. ``options`` of `pixelarm teleop`; ``phone``: a small screen, by touch."""
    command = [sys.executable, "-m", "hardware.commands.teleop", "--task", "lift", "--port", str(free_port()), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        url = re.search(r"http://\S+", await asyncio.to_thread(process.stdout.readline))
        assert url is not None, "the program said no address"
        async with browser(Path(tempfile.mkdtemp())) as found:
            tab = await found.open("about:blank")
            if phone:
                await tab.become_phone()
            await tab.call("Page.navigate", url=url[0])
            await tab.until("document.body.dataset.mode === 'teleop'", 90.0)
            await asyncio.sleep(SETTLE_S)
            yield tab
    finally:
        process.terminate()
        process.wait(20)


class Listener:
    """A ROS node of its own that hears topics: ``topics`` are (message type, topic, callback, depth, reliable)."""

    def __init__(self, name: str, topics: list[tuple[Any, str, Callable[[Any], None], int, bool]]) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        from robot.ros.runtime import qos

        rclpy.init()
        self.node, self.executor = Node(name), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        for kind, topic, callback, depth, reliable in topics:
            self.node.create_subscription(kind, topic, callback, qos(depth, reliable))
        threading.Thread(target=self.executor.spin, daemon=True).start()
