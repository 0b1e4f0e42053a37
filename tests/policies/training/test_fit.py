"""Skills that are not fine-tuned: what a run of no updates writes, and which of its processes."""

from types import SimpleNamespace

import pytest
from conftest_skills import tiny, walk, walking_contract

from policies.config import RecipeConfig, TrainConfig
from policies.runs.metrics import RunLog
from policies.training import fit as fitting


@pytest.fixture
def logs(monkeypatch):
    """How often the log of each run was closed."""
    closed: list[int] = []

    class Counted(RunLog):
        def close(self) -> None:
            closed.append(1)
            super().close()

    monkeypatch.setattr(fitting, "RunLog", Counted)
    return closed


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_the_first_alone_writes(tmp_path, logs, rank):
    cfg = TrainConfig(algo=tiny(), recipe=RecipeConfig(demos=1))
    fabric = SimpleNamespace(is_global_zero=rank == 0, global_rank=rank, barrier=lambda: None)
    fitting.fit(cfg, fabric, SimpleNamespace(contract=walking_contract()), [walk(5)], tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == ({"config.yaml", "metrics.jsonl", "tensorboard", "policy", "last"} if rank == 0 else set())
    assert logs == [1]
