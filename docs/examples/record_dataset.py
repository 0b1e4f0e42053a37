"""Records demonstrations of a task's scripted expert and reads them back: python record_dataset.py FOLDER"""

import sys

import pixelarm
from robot.dataset import recording


def main(folder: str = "runs/recorded", episodes: int = 3) -> None:
    env = pixelarm.make("reach")
    period_ns = round(1e9 / env.contract.rate_hz)
    provenance = {"device": "scripted expert", "task": "reach", recording.KEY: env.recording}
    with pixelarm.Recorder(folder, env.contract, provenance) as recorder:
        for seed in range(episodes):
            observation, _ = env.reset(seed=seed)
            expert = env.expert(seed)
            recorder.start(observation, stamp_ns=0, provenance={"seed": seed})
            step, done = 0, False
            while not done:
                action = expert()
                observation, reward, terminated, truncated, info = env.step(action)
                step, done = step + 1, terminated or truncated
                recorder.add(action, reward, terminated, observation, stamp_ns=step * period_ns)
            recorder.end(success=info["success"])
    for episode in pixelarm.Dataset(folder, expect=env.contract):
        print(f"{len(episode)} steps, {'success' if episode.success else 'failure'}")
    env.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
