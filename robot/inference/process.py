"""A policy whose network runs in a process of its own, perhaps of another interpreter: one with a GPU's ONNX Runtime,
say, beside ROS 2's Python.

It acts like ``robot.bundle.Policy``. Observations and actions lie in shared memory, a byte through a pipe says that
they are there; nothing is pickled. Where the process dies, ``act`` raises, and the next call starts another one: the
loop holds the arm by its own rules until that answers.
"""

from __future__ import annotations

import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from robot import bundle
from robot.errors import BundleError, PixelarmError
from robot.inference.child import DONE
from robot.inference.layout import Layout
from robot.packages import HOME

LOAD_S = 120.0  # an engine of TensorRT takes its time
ANSWER_S = 10.0  # no policy thinks for longer: the process hangs


class InferenceProcess:
    """See the module text.

    Args:
        python: interpreter that has numpy, PyYAML and onnxruntime; pixelarm's own files are put on its path.
        provider: of ONNX Runtime there, as of ``robot.bundle.load``.

    Raises:
        BundleError: the bundle cannot be used there; in the words of the process.
        PixelarmError: there is no such interpreter.
    """

    def __init__(self, path: str | Path, python: str = sys.executable, provider: str = bundle.CPU) -> None:
        _, self.contract, self.card = bundle.read(path)
        self._command = [python, "-m", "robot.inference.child", str(Path(path).resolve())]
        self._provider, self._closed = provider, False
        self._process: subprocess.Popen[bytes] | None = None
        self._layout, self._lock = Layout.of(self.contract), threading.Lock()
        self.starts = 0
        self._start()

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Actions ``(chunk, action size)`` float32 in physical units for one observation.

        Raises:
            PixelarmError: the process has ended, hangs, or its policy raised; of one that ended the next call is made
                of a new one.
        """
        with self._lock:
            if self._process is None:
                self._start()
            for name, view in self._views.items():
                if name != "action":
                    view[:] = observation[name]
            try:
                self._say()
                self._answer(ANSWER_S)
            except PixelarmError:
                if self._process is not None and self._process.poll() is not None:
                    self._end()  # said at once: the next call waits for another one
                raise
            return self._views["action"].copy()

    def _start(self) -> None:
        if self._closed:
            raise PixelarmError("the process of the policy was ended")
        self._end()
        self.starts += 1
        handle, name = tempfile.mkstemp(prefix="pixelarm-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        try:
            os.ftruncate(handle, self._layout.size)
            self._views = self._layout.views(mmap.mmap(handle, self._layout.size))
            self._process = self._open(name)
            self._answer(LOAD_S)
        finally:
            os.close(handle)
            os.unlink(name)  # both have it by now: nothing is left behind, however they end

    def _open(self, memory: str) -> subprocess.Popen[bytes]:
        paths = [str(HOME), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        try:
            return subprocess.Popen(
                [*self._command, memory, self._provider], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PixelarmError(f"{self._command[0]} cannot be started ({error.strerror}): name a Python") from error

    def _say(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        if (status := self._process.poll()) is not None:
            raise PixelarmError(f"the process of the policy has ended (exit status {status}); see what it printed")
        try:
            self._process.stdin.write(b"\0")
        except OSError as error:
            self._process.wait()
            raise PixelarmError("the process of the policy has ended; see what it printed") from error

    def _answer(self, seconds: float) -> None:
        """Wait for the answer to what was said."""
        if self._read(1, seconds) == DONE:
            return
        words = self._read(int.from_bytes(self._read(4, seconds), "little"), seconds).decode(errors="replace")
        raise BundleError(f"in the process of the policy: {words}")

    def _read(self, size: int, seconds: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        found, end = b"", time.monotonic() + seconds
        while len(found) < size:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self._process.kill()
                self._process.wait()
                raise PixelarmError(f"the process of the policy has not answered for {seconds:g} s: it is ended")
            part = os.read(self._process.stdout.fileno(), size - len(found))
            if not part:
                status = self._process.wait()
                raise PixelarmError(f"the process of the policy has ended (exit status {status}); see what it printed")
            found += part
        return found

    def close(self) -> None:
        """End the process, for good. Any thread may call it: an ``act`` that goes on then fails at once."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def about(self) -> dict[str, Any]:
        """For a report."""
        return {"interpreter": self._command[0], "provider": self._provider, "starts": self.starts}
