"""Train a recipe on recorded demonstrations, then evaluate it on scenes that it has not seen.

python docs/examples/record_demonstrations.py
python docs/examples/train_and_evaluate.py                      # about seven minutes on two CPU cores
python docs/examples/train_and_evaluate.py recipe.steps=8000    # any option of `pixelarm train --help`
"""

import sys

import pixelarm
from policies.evaluation.evaluate import EVAL_SEED, evaluate
from policies.training.train import compose, train


def main(*overrides: str, episodes: int = 50) -> None:
    recipe = ["experiment=ferm_plus", "task=lift", "seed=1", "demos=runs/examples/demos", "run=runs/examples/lift"]
    config = compose([*recipe, *overrides])
    run = train(config)

    policy = pixelarm.load_policy(run)
    env = pixelarm.make(config.task.name, image_size=config.task.image_size)
    result = evaluate(env, policy, seeds=range(EVAL_SEED, EVAL_SEED + episodes), title="evaluate")
    print(f"success at any step {result.once}")  # with n and its 95 % Wilson interval
    print(f"success at the end  {result.end}")
    env.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
