"""A small split, made once: two pretraining demonstrations without a kettle, one target demonstration."""

import shutil

import pytest

pytest.importorskip("mujoco")

from sim.kitchen.folder import jobs_of, make_split
from sim.kitchen.making import Maker

SPLIT, SEED = "no-kettle", 3


@pytest.fixture(scope="session")
def maker():
    made = Maker()
    yield made
    made.env.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kitchen") / "made"
    assert len(list(make_split(jobs_of(SPLIT, folder, 2, 1, SEED), SPLIT, 1))) == 3
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(made, tmp_path / "made")
