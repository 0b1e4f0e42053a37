"""Where a learned result comes from: ``robot.provenance`` with the GPU."""

from __future__ import annotations

from typing import Any

from robot import provenance
from robot.provenance import git_commit, versions

__all__ = ["git_commit", "hardware", "made_with", "versions"]


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, and GPU."""
    return {**provenance.hardware(), "gpu": _gpu()}


def _gpu() -> str:
    try:
        import torch
    except ImportError:
        return "unknown (torch is not installed)"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def made_with() -> dict[str, Any]:
    """Versions, commit and hardware, as every saved policy says them."""
    return {"versions": versions(), "git": git_commit(), "hardware": hardware()}
