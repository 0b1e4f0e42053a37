"""Hydra configuration files; ``pkg://configs`` finds them wherever the package is installed."""
