"""The Trainer's checkpoints: what comes back is what was saved, without a pickle,
and a resumed run equals one that was not.
"""

import collections
import enum
import json
import math
import pickle
import random
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import TensorDataset

from policies.data.resumable import ResumableLoader
from policies.data.windows import Draws
from policies.runs import checkpoint_io
from policies.runs.checkpoint_io import STATE, FolderCheckpoints, RandomStreams
from robot.errors import PixelarmError

IO = FolderCheckpoints()


def there_and_back(folder: Path, **checkpoint):
    IO.save_checkpoint(checkpoint, folder / "c")
    return IO.load_checkpoint(folder / "c")


def same(a, b) -> bool:
    """Equal to the bit, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        alike = (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        return alike and a.contiguous().view(-1).view(torch.uint8).equal(b.contiguous().view(-1).view(torch.uint8))
    if isinstance(a, (np.ndarray, np.generic)):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(same(x, y) for x, y in zip(a.values(), b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return (math.isnan(a) and math.isnan(b)) if isinstance(a, float) and math.isnan(a) else repr(a) == repr(b)


# ----------------------------------------------------------------------------------------------------------- the folder
@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(2**70), 0.1, -0.0, 5e-324, math.inf, -math.inf, math.nan, "", "a.b", "\udcff \n", b"\x00\xff",
        (), [], {}, (1, (2, [3, (4.5, None)])), [[], {}], {1: "a", "1": "b", None: 2, (1, 2): 3, 2.5: 4, False: 5},
        {"$": "tuple", "items": 3}, {"a": {"b.c": 1}}, {3}, frozenset({"x"}), Path("/a/b"),
        collections.Counter({10: 2, 20: 1}), collections.OrderedDict([("z", 1), ("a", (2,))]), np.float64(0.1),
        np.float32(0.1), np.float16(0.1), np.float64("nan"), np.int64(-3), np.uint8(255), np.uint64(2**63 + 1),
        np.bool_(True), np.array(2.5), np.arange(6, dtype=np.uint32).reshape(2, 3), np.zeros((0, 3), np.int16),
        np.array([True, False]), random.Random(3).getstate(), np.random.RandomState(3).get_state(),
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]!r}",
)  # fmt: skip
def test_every_kind_of_value_comes_back_as_it_was(value, tmp_path):
    assert same(there_and_back(tmp_path, value=value, inside=[(value,)]), {"value": value, "inside": [(value,)]})


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool,
        torch.uint32, torch.complex64, torch.float8_e4m3fn,
    ],
)  # fmt: skip
def test_every_kind_of_tensor_comes_back_as_it_was(dtype, tmp_path):
    bits = torch.arange(48, dtype=torch.uint8)
    flat = bits % 2 == 0 if dtype is torch.bool else bits.view(dtype)
    tensors = [flat, flat[:0], flat[0], flat[: len(flat) // 2 * 2].view(2, -1)]
    assert same(there_and_back(tmp_path, tensors=tensors), {"tensors": tensors})


def test_strides_parts_and_gradients_of_tensors(tmp_path):
    """Dense ones keep their order in memory, which decides how sums over them round;
    of a view, only what is seen is kept.
    """
    last = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    whole = torch.rand(10)
    found = there_and_back(
        tmp_path,
        last=last,
        turned=whole.view(2, 5).T,
        part=whole[::2],
        spread=whole[:1].expand(4),
        leaf=whole.requires_grad_(),
    )
    assert same(found["last"], last) and found["last"].stride() == (60, 1, 15, 3)
    assert same(found["turned"], whole.detach().view(2, 5).T)
    assert found["part"].equal(whole[::2]) and found["part"].stride() == (1,)
    assert found["spread"].equal(whole[:1].expand(4)) and found["spread"].stride() == (1,)
    assert found["leaf"].equal(whole) and not found["leaf"].requires_grad
    found["last"][0] = 0  # each has memory of its own
    assert not last[0].eq(0).any()


def test_names_that_only_look_alike_are_kept_apart(tmp_path):
    checkpoint = {
        "a": {"b": torch.zeros(1), "b'": torch.ones(1)},
        "a.b": torch.full((1,), 2.0),
        "a.b'": torch.full((1,), 3.0),
    }
    assert same(there_and_back(tmp_path, **checkpoint), checkpoint)


def test_the_versions_of_modules_stay_with_their_state(tmp_path):
    state = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    found = there_and_back(tmp_path, state_dict=state)["state_dict"]
    assert same(found, state) and same(found._metadata, state._metadata) and found._metadata["1"] == {"version": 2}


class Number(enum.IntEnum):
    ONE = 1


class Own(dict):
    pass


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (print, "of type builtins.builtin_function_or_method"),
        (nn.Linear(1, 1), "of type torch.nn.modules.linear.Linear"),
        (nn.Parameter(torch.zeros(1)), "of type torch.nn.parameter.Parameter"),
        (Number.ONE, "test_checkpoint_io.Number"),
        (Own(a=1), "test_checkpoint_io.Own"),
        (Pair(1, 2), "test_checkpoint_io.Pair"),
        (collections.defaultdict(list), "of type collections.defaultdict"),
        (1j, "of type builtins.complex"),
        (np.array(["a"]), "of type numpy.ndarray"),
        (np.array([None]), "of type numpy.ndarray"),
        (np.arange(3, dtype=">i4"), "of type numpy.ndarray"),
        (np.longdouble(1), "of type numpy.longdouble"),
        (torch.zeros(2, dtype=torch.complex128), "a tensor of torch.complex128"),
        (torch.eye(2).to_sparse(), "torch.sparse_coo"),
        (torch.empty(2, device="meta"), "on meta"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_refused_with_its_place_and_type(value, what, tmp_path):
    with pytest.raises(PixelarmError, match=rf"no pickles, and callbacks\.Mine\.state\.1\.x is .*{what}"):
        IO.save_checkpoint({"callbacks": {"Mine": {"state": [0, {"x": value}]}}}, tmp_path / "c")
    assert not list(tmp_path.iterdir())  # nothing was begun


@pytest.mark.parametrize("moment", ["save_tensors", "write_text"])
def test_a_save_that_dies_leaves_the_checkpoint_before_it(moment, tmp_path, monkeypatch):
    IO.save_checkpoint({"x": torch.zeros(2), "n": 1}, tmp_path / "last")

    def die(path, *_):
        path.write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            checkpoint_io, moment, die if moment == "save_tensors" else lambda *_: die(tmp_path / "elsewhere")
        )
        for name in ("last", "new"):
            with pytest.raises(KeyboardInterrupt):
                IO.save_checkpoint({"x": torch.ones(2), "n": 2}, tmp_path / name)
    assert same(IO.load_checkpoint(tmp_path / "last"), {"x": torch.zeros(2), "n": 1})
    assert not (tmp_path / "new").exists()
    IO.save_checkpoint({"n": 3}, tmp_path / "last")
    assert IO.load_checkpoint(tmp_path / "last") == {"n": 3}
    assert len(list((tmp_path / "last").iterdir())) == 2  # what the one that died had begun is gone


def test_a_folder_that_is_no_checkpoint_or_a_damaged_one_is_said_to_be_so(tmp_path):
    with pytest.raises(PixelarmError, match="is not a checkpoint of the Trainer: there is no state.json"):
        IO.load_checkpoint(tmp_path)
    IO.save_checkpoint({"x": torch.zeros(2)}, tmp_path / "c")
    state = json.loads((tmp_path / "c" / STATE).read_text())
    for change, words in (
        ({"format": "other"}, "has format 'other', expected 'pixelarm-trainer/1'"),
        ({"checkpoint": {"$": "function"}}, "is damaged .KeyError: 'function'"),
        ({"checkpoint": {"$": "tensor", "name": "y"}}, "is damaged .KeyError: 'y'"),
    ):
        (tmp_path / "c" / STATE).write_text(json.dumps({**state, **change}))
        with pytest.raises(PixelarmError, match=words):
            IO.load_checkpoint(tmp_path / "c")
    with pytest.raises(PixelarmError, match="map_location must be a device or its name"):
        IO.load_checkpoint(tmp_path / "c", map_location=lambda storage, place: storage)
    IO.remove_checkpoint(tmp_path / "c")
    assert not (tmp_path / "c").exists()


# ----------------------------------------------------------------------------------------------------------- the
# Trainer
ROWS, BATCH = 20, 4  # five batches an epoch


class Shuffled:
    """Each epoch's rows in an order of its own."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return ROWS // BATCH

    def __iter__(self):
        order = np.random.default_rng([7, self.epoch]).permutation(ROWS)
        yield from order.reshape(-1, BATCH).tolist()


class Toy(lightning.LightningModule):
    """It draws from every random stream, remembers which rows it saw, and learns with momentum and a falling rate."""

    def __init__(self, optimizer):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
        self.seen = []

    def training_step(self, batch, index):
        rows, x = batch
        self.seen.append(rows.tolist())
        x = x + 0.1 * np.random.normal() + 0.1 * random.random() + 0.1 * torch.rand(x.shape)
        return self.net(x).square().mean()

    def configure_optimizers(self):
        make = {
            "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
            "adamw": lambda p: torch.optim.AdamW(p, 0.01, amsgrad=True),
        }
        optimizer = make[self.hparams.optimizer](self.net.parameters())
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 8], gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Crash(Callback):
    """What ends a run in the middle of a batch."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.at:
            raise RuntimeError("the machine went away")


def run(folder, batches, optimizer, steps, *more, resume=None, workers=0):
    """Train a toy from the same beginning for so many steps; its trainer and module."""
    lightning.seed_everything(1, verbose=False)
    module = Toy(optimizer)
    x = torch.arange(3.0 * ROWS).view(ROWS, 3) / ROWS
    options = {"num_workers": workers, "persistent_workers": False}
    loader = ResumableLoader(TensorDataset(torch.arange(ROWS), x), batches, seed=1, **options)
    keep = ModelCheckpoint(
        dirpath=folder, filename="step_{step}", auto_insert_metric_name=False, every_n_train_steps=3, save_top_k=-1,
        save_last=True,
    )  # fmt: skip
    trainer = lightning.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=[FolderCheckpoints()], callbacks=[RandomStreams(), keep, *more],
        num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    if resume is not None:
        lightning.seed_everything(99, verbose=False)  # another process begins with other random states
    trainer.fit(module, loader, ckpt_path=resume)
    return trainer, module


def final(trainer, module):
    """Everything that decides the future."""
    return [
        module.state_dict(), trainer.optimizers[0].state_dict(), trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        torch.get_rng_state(), np.random.get_state(), random.getstate(), trainer.global_step, trainer.current_epoch,
    ]  # fmt: skip


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make_batches", "optimizer", "crash", "taken"),
    [
        (Shuffled, "sgd", 8, 6),  # in the second epoch, from its first batch on
        (Shuffled, "adamw", 11, 9),  # before the second epoch's last batch
        (Shuffled, "sgd", 5, 3),  # in the first epoch
        (Shuffled, "sgd", 16, 15),  # at the end of the third
        (lambda: Draws(ROWS, BATCH, seed=5, updates=18), "adamw", 14, 12),  # one long epoch
    ],
    ids=["second epoch", "before its end", "first epoch", "at an end", "draws"],
)
def test_killed_and_resumed_equals_uninterrupted(make_batches, optimizer, crash, taken, tmp_path):
    straight = run(tmp_path / "straight", make_batches(), optimizer, 18)
    with pytest.raises(RuntimeError, match="went away"):
        run(tmp_path / "killed", make_batches(), optimizer, 18, Crash(crash))
    place = tmp_path / "killed" / f"step_{taken}.ckpt"
    assert place.is_dir() and not (tmp_path / "killed" / f"step_{taken + 3}.ckpt").exists()
    resumed = run(tmp_path / "killed", make_batches(), optimizer, 18, resume=place)
    assert resumed[1].seen == straight[1].seen[taken:]
    assert same(final(*resumed), final(*straight))
    assert len(set(map(tuple, straight[1].seen))) > 5  # shuffled anew, or drawn


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_that_ended_goes_on_for_more_steps_and_the_order_needs_no_luck(tmp_path):
    """Stopped by ``max_steps``, resumed from ``last``, its batches loaded by a worker process."""
    straight = run(tmp_path / "straight", Shuffled(), "sgd", 18)
    run(tmp_path / "short", Shuffled(), "sgd", 9)
    resumed = run(tmp_path / "short", Shuffled(), "sgd", 18, resume=tmp_path / "short" / "last.ckpt", workers=1)
    assert resumed[1].seen == straight[1].seen[9:]
    assert same(final(*resumed), final(*straight))


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_without_the_random_streams_a_resumed_run_is_another(tmp_path, monkeypatch):
    """The test above can fail."""
    straight = run(tmp_path / "straight", Shuffled(), "sgd", 9)
    monkeypatch.setattr(RandomStreams, "on_train_start", lambda *_: None)
    run(tmp_path / "short", Shuffled(), "sgd", 6)
    resumed = run(tmp_path / "short", Shuffled(), "sgd", 9, resume=tmp_path / "short" / "last.ckpt")
    assert not same(final(*resumed), final(*straight))


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_pickle_is_written_or_read(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a pickle")

    for name in ("dump", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    run(tmp_path, Shuffled(), "sgd", 6)
    _, module = run(tmp_path, Shuffled(), "sgd", 9, resume=tmp_path / "last.ckpt")
    assert module.hparams.optimizer == "sgd" and len(module.seen) == 3
    files = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {".json", ".safetensors"}
    state = json.loads((tmp_path / "last.ckpt" / STATE).read_text())["checkpoint"]
    assert state["hyper_parameters"] == {"optimizer": "sgd"} and state["global_step"] == 9
