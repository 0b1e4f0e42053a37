"""Plays a bundle or a run on fixed scenes and prints its success with a 95 % interval:
python evaluate_policy.py POLICY [EPISODES]
"""

import sys

import pixelarm
from robot.stats import rate

FIRST_SEED = 10_000  # of the test scenes, which nothing learns from


def main(path: str, episodes: int = 20) -> None:
    policy = pixelarm.load_policy(path)
    env = pixelarm.make(policy.contract.task, image_size=policy.contract.cameras[0].height)
    outcomes = []
    for seed in range(FIRST_SEED, FIRST_SEED + episodes):
        observation, info = env.reset(seed=seed)
        policy.reset()  # it may remember what it saw
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(policy(observation))
            done = terminated or truncated
        outcomes.append(bool(info["success"]))
    env.close()
    print(f"success {rate(outcomes)}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
