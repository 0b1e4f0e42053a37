"""Load a policy bundle and play one episode with it, in the task that it was trained for.

python docs/examples/play_bundle.py runs/demo/bundle
"""

import sys

import pixelarm


def main(bundle: str = "runs/demo/bundle", seed: int = 10_000) -> bool:
    policy = pixelarm.load_policy(bundle)
    contract = policy.contract
    print(f"task {contract.task}, {contract.rate_hz:g} Hz, actions {contract.action.names}")

    env = pixelarm.make(contract.task, image_size=contract.cameras[0].height)
    observation, info = env.reset(seed=seed)
    policy.reset()  # it forgets what it saw before
    steps, done = 0, False
    while not done:
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        steps, done = steps + 1, terminated or truncated

    print(f"success: {info['success']}, after {steps} steps")
    env.close()
    return info["success"]


if __name__ == "__main__":
    main(*sys.argv[1:2])
