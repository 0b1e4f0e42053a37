"""``bet`` and ``vqbet`` from demonstrations on: trained, resumed to the bit, pretrained, adapted, played, exported."""

import numpy as np
import pytest
from safetensors.torch import load_file

from policies.evaluation.evaluate import evaluate, load_actor
from policies.export.onnx import TOLERANCE, export
from policies.imitation.optimise import Fit
from policies.runs.metrics import read_log
from policies.training.skills import adapt, learn_skills
from policies.training.train import compose, train
from sim.demonstrations import collect
from sim.envs.config import TaskConfig
from sim.envs.make import make_env, make_env_for
from sim.kitchen.folder import jobs_of, make_split

NETWORK = ["algo.history=2", "algo.transformer.layers=1", "algo.transformer.width=8", "algo.transformer.heads=2"]
OWN = {
    "bet": ["algo.bins=4"],
    "vqbet": ["algo.codes=4", "algo.latent=4", "algo.hidden=8", "algo.chunk=2", "algo.code_share=0.5"],
}
RUN = [
    "recipe.batch_size=8", "trainer=cpu", "trainer.precision=32-true", "trainer.threads=1", "trainer.log_every=4",
    "trainer.checkpoint_every=4", "trainer.eval_episodes=0",
]  # fmt: skip
FAMILIES = sorted(OWN)

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demos")
    env = make_env(TaskConfig(name="reach", image_size=32))
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


def filmed(family: str, demos, folder) -> list[str]:
    """Of a run of 16 updates from pictures; of vqbet the first half of them learn the codes."""
    return [
        f"experiment={family}_states", "task=reach", "task.image_size=32", "task.observe=pixels", "recipe.demos=2",
        "algo.encoder.convs=tiny", "algo.encoder.feature_size=8", "algo.augmentation=[{shift: {pixels: 3}}]",
        "recipe.fit_updates=16", *NETWORK, *OWN[family], *RUN, f"demos={demos}", f"run={folder}",
    ]  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def run(request, demos, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return train(compose(filmed(request.param, demos, folder / request.param)))


@pytest.mark.parametrize("after", [6, 13])
def test_a_run_that_was_cut_off_equals_one_that_was_not(run, demos, tmp_path, monkeypatch, after):
    """In the middle of what learns the codes and of the rest; from the checkpoint before."""
    options, step = filmed(run.name, demos, tmp_path / "run"), Fit.training_step

    def stepping(self, batch, index):
        if int(self.updates) == after:
            raise RuntimeError("cut off")
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "training_step", stepping)
        with pytest.raises(RuntimeError, match="cut off"):
            train(compose(options))
    assert not (tmp_path / "run" / "last").exists()
    resumed = train(compose([*options, "resume=true"]))
    one, other = (load_file(folder / "last" / "policy.safetensors") for folder in (run, resumed))
    assert one.keys() == other.keys() and all((one[key] == other[key]).all() for key in one)
    lines = [read_log(folder, "fit") for folder in (run, resumed)]
    logs = [[{k: v for k, v in line.items() if k != "updates_per_second"} for line in of] for of in lines]
    assert logs[0] == logs[1] and len(logs[0]) == 4


def test_it_is_played_and_exported(run, tmp_path):
    act, contract, _ = load_actor(run)
    assert contract.history == 2 and contract.cameras
    out, difference = export(run, tmp_path / "bundle")
    assert difference < TOLERANCE
    exported, again, _ = load_actor(out)
    env = make_env(TaskConfig(name="reach", image_size=32))
    found = evaluate(env, act, range(1), quiet=True)
    seen, _ = env.reset(seed=3)
    exported.reset(), act.reset()
    assert again == contract and np.allclose(act(seen), exported(seen), atol=1e-5)
    env.close()
    assert len(found.outcomes) == 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One episode to pretrain with and one of the new task."""
    folder = tmp_path_factory.mktemp("kitchen")
    assert len(list(make_split(jobs_of("no-kettle", folder, 1, 1, 3), "no-kettle", 1))) == 2
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_skills_are_pretrained_and_adapted(family, data, tmp_path):
    """The bins and the codes are those of the skills, and all of the fine-tuning is of the rest; what stood still is
    scaled by the new task's demonstrations.
    """
    skills, policy = tmp_path / "skills", tmp_path / "policy"
    options = [f"experiment={family}_states", "recipe.fit_updates=5", *NETWORK, *OWN[family], *RUN]
    learn_skills([f"data={data}", f"run={skills}", *options])
    adapt([f"skills={skills}", f"demos={data / 'target'}", f"run={policy}", "recipe.fit_updates=3", *RUN])
    before, after = (load_file(run / "policy" / "policy.safetensors") for run in (skills, policy))
    own = {"bet": ("centres",), "vqbet": ("quantiser.codes", "encoder.0.weight", "decoder.0.weight", "settled")}
    for name in ("eyes.normalizer.mean", "actions.mean", "actions.std", *own[family]):
        assert (before[name] == after[name]).all(), name
    assert (before["transformer.enter.weight"] != after["transformer.enter.weight"]).any()
    # the kettle's y: it stood still, and moves by some 35 cm now
    assert before["eyes.normalizer.std"][24] < 0.0501 and after["eyes.normalizer.std"][24] > 0.1
    act, contract, config = load_actor(policy)
    assert contract.history == 2
    env = make_env_for(contract, config)
    seen, _ = env.reset(seed=1)
    assert np.array_equal(act(seen), contract.clip_action(act(seen)))
    env.close()
