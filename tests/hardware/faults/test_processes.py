"""What is started ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.faults.processes import Load, NodeProcess, ended_by_sigterm


def soon(what: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    end = time.monotonic() + timeout_s
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_node_is_told_to_end_with_this_process_and_its_rules_are_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "said.py").write_text("import sys; print('[arbiter]: silent: too long'); print(*sys.argv[1:])")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    heard: list[tuple[str, str]] = []
    node = NodeProcess("arm", ["said", "--arm", "x"], lambda who, rule, when: heard.append((who, rule)))
    assert soon(lambda: len(node.lines) == 2)
    assert node.lines[1] == "--arm x --end-with-parent"
    assert heard == [("arbiter", "silent")]
    node.end()


def test_each_sleep_of_a_slow_node_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waits.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = NodeProcess("policy", ["waits"], lambda *_: None)
    try:
        before = time.monotonic()
        node.stutter(True, 0.05, 0.05)
        assert soon(lambda: len(node.naps) >= 3)
        node.stutter(False)
        assert node.naps == sorted(node.naps) and node.naps[0] >= before
    finally:
        node.kill()
        node.end()


def test_a_load_is_as_large_as_it_is_told() -> None:
    load = Load()
    load.run(2)
    pids = [process.pid for process in load._loops]
    assert len(pids) == 2 and all(runs(pid) for pid in pids)
    load.run(0)
    assert load._loops == [] and not any(runs(pid) for pid in pids)


OWNER = """
import time
from hardware.faults.processes import Load, ended_by_sigterm
load = Load()
with ended_by_sigterm():
    try:
        load.run(1)
        print(load._loops[0].pid, flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        load.run(0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_load_ends_with_its_owner(number: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], text=True, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    loop = int(owner.stdout.readline())
    time.sleep(0.5)  # the loop has begun to look for its owner
    owner.send_signal(number)
    said = owner.communicate(timeout=20)[0]
    assert (said, owner.returncode) == (("ending\n", 143) if number == signal.SIGTERM else ("", -9))
    assert soon(lambda: not runs(loop))


def test_sigterm_is_as_it_was_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ended_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_orders_and_children_of_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-m', 'idle'], stdin=subprocess.PIPE)\n"
        "print('begins', child.pid, flush=True)\nfor line in sys.stdin: print('order', line.strip(), flush=True)"
    )
    (tmp_path / "idle.py").write_text("import sys; sys.stdin.read()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = NodeProcess("policy", ["parent"], lambda *heard: None)
    assert soon(lambda: bool(node.lines))
    assert soon(lambda: node.children("idle") == [int(node.lines[0].split()[1])])
    assert node.children("other") == []
    node.order("late 0.3")
    assert soon(lambda: "order late 0.3" in node.lines)
    node.end()
