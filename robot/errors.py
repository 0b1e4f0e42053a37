"""Errors that teach: each says what was expected, what came, and what to do.

Commands print these as one paragraph without a traceback; anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class PixelarmError(Exception):
    """Base of every error a user can cause or cure."""


class UnknownName(PixelarmError):
    """A name that is not in a registry; the message lists the names that are."""

    def __init__(self, what: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(f"unknown {what} {name!r}; the valid names are: {', '.join(sorted(valid))}")


class ContractMismatch(PixelarmError):
    """Two sides that must agree on observations and actions do not; the message names each difference."""


class DatasetError(PixelarmError):
    """A dataset file that is truncated, foreign, or does not hold what its contract says."""


class StrayEpisodes(DatasetError):
    """Some episodes of a dataset cannot be read or do not belong to it; the message names the files to move away."""


class BundleError(PixelarmError):
    """A policy bundle that is incomplete, altered, or not fit for its contract."""


class MissingDependency(PixelarmError):
    """A package or system library that this command needs is absent; the message says how to get it."""
