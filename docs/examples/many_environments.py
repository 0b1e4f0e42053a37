"""Step several environments side by side with random actions, and measure how fast they go.

python docs/examples/many_environments.py
"""

import time

import numpy as np

import pixelarm


def main(num_envs: int = 4, seconds: float = 10.0) -> None:
    envs = pixelarm.make_vec("lift", num_envs, image_size=84)
    observations, infos = envs.reset(seed=0)
    print({name: value.shape for name, value in observations.items()})

    rng, action = np.random.default_rng(0), envs.contract.action
    steps, episodes, start = 0, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        actions = rng.uniform(action.low, action.high, (num_envs, action.size))
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        steps += num_envs
        episodes += int((terminated | truncated).sum())  # those have begun their next episode already

    print(f"{steps / (time.perf_counter() - start):.0f} steps per second, {episodes} episodes")
    envs.close()


if __name__ == "__main__":  # worker processes import this file anew
    main()
