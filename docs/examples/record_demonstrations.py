"""Record demonstrations with the recorder that teleoperation uses, and read them again.

python docs/examples/record_demonstrations.py
"""

import pixelarm


def main(folder: str = "runs/examples/demos", episodes: int = 10, image_size: int = 64) -> None:
    env = pixelarm.make("lift", image_size=image_size)
    period_ns = round(1e9 / env.contract.rate_hz)
    about = {"device": "scripted expert", "operator": "script", "task": "lift", "recording": env.recording}

    with pixelarm.Recorder(folder, env.contract, about) as recorder:
        seed = 0
        while recorder.episodes < episodes:
            seed += 1
            observation, info = env.reset(seed=seed)
            expert, stamp, done = env.expert(seed), 0, False
            recorder.start(observation, stamp, {"seed": seed})
            while not done:
                action = expert()  # or what a person's device says
                observation, reward, terminated, truncated, info = env.step(action)
                stamp += period_ns  # simulated time
                recorder.add(action, reward, terminated, observation, stamp)
                done = terminated or truncated
            recorder.end(success=True) if info["success"] else recorder.discard()

    dataset = pixelarm.Dataset(folder)
    print(f"{len(dataset)} episodes, {dataset.steps} steps, in {folder}")
    for episode in dataset:
        print(
            f"seed {episode.provenance['seed']}: {len(episode)} steps, images {episode.observations['agentview'].shape}"
        )
    env.close()


if __name__ == "__main__":
    main()
