"""Trains ferm_plus on the demonstrations in runs/demos, then evaluates it on scenes that it has not seen:
python train_and_evaluate.py [OPTION=VALUE ...], with any option of `pixelarm train --help`"""

import sys

import pixelarm
from policies.evaluation.evaluate import EVAL_SEED, evaluate
from policies.training.train import compose, train

EPISODES = 20


def main(*overrides: str) -> None:
    config = compose(["experiment=ferm_plus", "task=lift", "seed=1", "run=runs/from_python", *overrides])
    run = train(config)  # about seven minutes on two CPU cores
    policy = pixelarm.load_policy(run)
    env = pixelarm.make(config.task.name, image_size=config.task.image_size)
    result = evaluate(env, policy, seeds=range(EVAL_SEED, EVAL_SEED + EPISODES), title="evaluate")
    env.close()
    print(f"success at any step {result.once}, at the end {result.end}")


if __name__ == "__main__":
    main(*sys.argv[1:])
