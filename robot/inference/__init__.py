"""A policy in a process of its own, of another interpreter if wanted; see ``robot.inference.process``."""
