"""Plays one episode with random actions and films it: python random_episode.py TASK FILM.mp4"""

import sys
from pathlib import Path

import numpy as np

import pixelarm
from robot.video import write_video


def main(task: str = "lift", film: str = "random.mp4") -> None:
    env = pixelarm.make(task)
    low, high = np.array(env.contract.action.low), np.array(env.contract.action.high)
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    frames, done = [env.render()], False
    while not done:
        action = rng.uniform(low, high).astype(np.float32)
        _, _, terminated, truncated, info = env.step(action)
        frames.append(env.render())
        done = terminated or truncated
    env.close()
    write_video(Path(film), frames, fps=round(env.contract.rate_hz))
    print(f"{len(frames) - 1} steps, {'success' if info['success'] else 'no success'}: {film}")


if __name__ == "__main__":
    main(*sys.argv[1:])
