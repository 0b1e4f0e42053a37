"""Make an environment, let the task's scripted expert play an episode, and save it as a film.

python docs/examples/make_environment.py
"""

from pathlib import Path

import pixelarm
from robot.video import write_video


def main(film: Path = Path("films/lift.mp4")) -> None:
    env = pixelarm.make("lift", image_size=84)
    observation, info = env.reset(seed=0)
    print({name: (value.shape, value.dtype.name) for name, value in observation.items()})

    expert, frames, done = env.expert(seed=0), [env.render()], False
    while not done:
        observation, reward, terminated, truncated, info = env.step(expert())
        frames.append(env.render())
        done = terminated or truncated

    print(f"success: {info['success']}, after {len(frames) - 1} steps")
    print(f"wrote {write_video(film, frames, fps=env.contract.rate_hz)}")
    env.close()


if __name__ == "__main__":
    main()
