"""Steps several environments in worker processes and prints how fast:
python many_environments.py TASK ENVIRONMENTS WORKERS
"""

import sys
from time import perf_counter

import numpy as np

import pixelarm

STEPS = 50


def main(task: str = "reach", environments: int = 4, workers: int = 2) -> None:
    with pixelarm.make_vec(task, environments, workers=workers) as envs:
        low, high = np.array(envs.contract.action.low), np.array(envs.contract.action.high)
        rng, ended = np.random.default_rng(0), 0
        envs.reset(seed=0)
        start = perf_counter()
        for _ in range(STEPS):
            actions = rng.uniform(low, high, (environments, len(low))).astype(np.float32)
            # an environment that ends an episode is reset at once
            _, _, terminated, truncated, _ = envs.step(actions)
            ended += int((terminated | truncated).sum())
        seconds = perf_counter() - start
    print(f"{STEPS * environments / seconds:.0f} steps a second, {ended} episodes ended")


if __name__ == "__main__":  # workers import this script anew
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
