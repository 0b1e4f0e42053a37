"""Where a result comes from: what is installed, which commit, which machine."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from robot import provenance


def test_versions_are_those_installed_and_say_what_is_absent() -> None:
    found = provenance.versions(["numpy", "no-such-distribution"])
    assert found == {"python": platform.python_version(), "numpy": version("numpy"), "no-such-distribution": "absent"}


def test_the_commit_is_marked_when_the_tree_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    status = ""

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        answer = status if "status" in command else "0123456789ab"
        return subprocess.CompletedProcess(command, 0, f"{answer}\n")

    monkeypatch.setattr(provenance.subprocess, "run", run)
    assert provenance.git_commit() == "0123456789ab"
    status = " M robot/stats.py"
    assert provenance.git_commit() == "0123456789ab+"


def test_outside_a_checkout_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_commit() == "unknown"


def test_hardware_counts_the_cores_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance.os, "sched_getaffinity", lambda pid: {0, 2, 5})
    found = provenance.hardware()
    assert found["cores"] == 3
    assert re.search(r"\w", found["cpu"])
