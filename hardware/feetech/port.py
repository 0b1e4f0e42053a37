"""A serial port through termios: 8 data bits, no parity, raw, and one owner.

pyserial would do the same with 90 kB more to install; on Linux, where the servo's 1 Mbaud has a name in termios,
nothing of it is needed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hardware.feetech.errors import PortError, Unplugged

SPEEDS = {
    1_000_000: "B1000000", 500_000: "B500000", 115_200: "B115200", 57_600: "B57600", 38_400: "B38400",
}  # fmt: skip
GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF)
WRITE_MS = 100  # how long a full buffer may stay full
LIKELY = ("ttyACM*", "ttyUSB*")


def candidates() -> list[str]:
    """Serial ports of this machine that may have the servos' adapter, by their lasting names where there are any."""
    by_id = sorted(Path("/dev/serial/by-id").glob("*")) if Path("/dev/serial/by-id").is_dir() else []
    return [str(path) for path in by_id] or sorted(str(path) for glob in LIKELY for path in Path("/dev").glob(glob))


class Port:
    """An open port. Reads wait in ``poll``, so that waiting costs no processor time.

    Raises:
        PortError: the port is absent, is no serial port, may not be opened, or another process has it.
    """

    def __init__(self, path: str, baud: int = 1_000_000) -> None:
        self.path = path
        self._file: int | None = self._open()
        try:
            self._own()
            self._set_raw(baud)
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self.fileno(), select.POLLIN)

    def fileno(self) -> int:
        if self._file is None:
            raise PortError(f"the port {self.path} is closed: open it again")
        return self._file

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            there = ", ".join(candidates()) or "none"
            raise PortError(f"cannot open the port {self.path}: {_why(error)}. Serial ports here: {there}") from error

    def _own(self) -> None:
        """Both locks: flock for programs that ask (pyserial's exclusive ports do), TIOCEXCL for those that do not."""
        try:
            fcntl.flock(self.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.ioctl(self.fileno(), termios.TIOCEXCL)
        except BlockingIOError:
            raise PortError(
                f"another process has the port {self.path}: two drivers on one bus garble each other's packets. End "
                f"the other one (fuser {self.path} shows its process), or name another port"
            ) from None
        except OSError as error:
            raise PortError(f"{self.path} is no serial port: {error.strerror}; give the adapter's device") from error

    def _set_raw(self, baud: int) -> None:
        name = SPEEDS.get(baud)
        if name is None or not hasattr(termios, name):
            raise PortError(f"baud must be one of {', '.join(map(str, SPEEDS))}, got {baud}")
        try:
            settings: list[Any] = termios.tcgetattr(self.fileno())
            settings[0] = settings[1] = settings[3] = 0  # no translation, no flow control, no echo
            settings[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
            settings[4] = settings[5] = getattr(termios, name)
            settings[6][termios.VMIN] = settings[6][termios.VTIME] = 0
            termios.tcsetattr(self.fileno(), termios.TCSANOW, settings)
            termios.tcflush(self.fileno(), termios.TCIOFLUSH)
        except termios.error as error:
            raise PortError(f"{self.path} is no serial port: {error.args[-1]}; give the adapter's device") from error

    def write(self, data: bytes) -> None:
        """Send everything.

        Raises:
            Unplugged: the port went away.
            PortError: the port takes nothing.
        """
        try:
            while data:
                try:
                    data = data[os.write(self.fileno(), data) :]
                except BlockingIOError:
                    self._wait_for_room()
        except OSError as error:
            raise self._gone(error) from error

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        if not poll.poll(WRITE_MS):
            raise PortError(
                f"the port {self.path} takes no bytes: its adapter hangs. Unplug it, plug it in and start again"
            )

    def read(self, until: float) -> bytes:
        """Bytes as soon as there are any; none at the time ``until`` (of ``time.monotonic``).

        Raises:
            Unplugged: the port went away.
        """
        left = max(0.0, until - time.monotonic())
        try:
            ready = self._poll.poll(left * 1e3)
            if not ready:
                return b""
            data = os.read(self.fileno(), 4096)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        return data

    def discard(self) -> None:
        """Throw away what has arrived and was not read."""
        try:
            termios.tcflush(self.fileno(), termios.TCIFLUSH)
        except termios.error as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception | None) -> Exception:
        if isinstance(error, OSError) and error.errno not in GONE:
            return error
        return Unplugged(
            f"the port {self.path} went away: the USB cable or the adapter was unplugged. The servos keep their last "
            "goal and their torque. Plug it in and start again"
        )

    def close(self) -> None:
        """Give the port back; what the servos do is left as it is."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                fcntl.ioctl(file, termios.TIOCNXCL)
            with suppress(OSError):
                os.close(file)


def _why(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "there is no such file. Plug the adapter in, or name another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "you may not use it. Add yourself to the group that owns it (often dialout), and log in again"
    if error.errno == errno.EBUSY:
        return "another process has it. End that one, or name another port"
    return f"{error.strerror}. Give the adapter's device"
