"""Judging policies: fixed seeds, paired comparisons, learning curves, reports."""

import policies.families  # noqa: F401  (the families of policies are known from here on)
