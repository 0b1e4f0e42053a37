"""Plays one episode with the task's scripted expert and films it: python expert_episode.py TASK FILM.mp4"""

import sys
from pathlib import Path

import pixelarm
from robot.dataset.video import write_video


def main(task: str = "lift", film: str = "expert.mp4") -> None:
    env = pixelarm.make(task, image_size=84)
    observation, info = env.reset(seed=0)
    print({name: (value.shape, value.dtype.name) for name, value in observation.items()})
    expert = env.expert(seed=0)
    frames, done = [env.render()], False
    while not done:
        observation, reward, terminated, truncated, info = env.step(expert())
        frames.append(env.render())
        done = terminated or truncated
    env.close()
    write_video(Path(film), frames, fps=round(env.contract.rate_hz))
    print(f"{len(frames) - 1} steps, {'success' if info['success'] else 'no success'}: {film}")


if __name__ == "__main__":
    main(*sys.argv[1:])
