"""A loader that goes on where a checkpoint was taken."""

import itertools

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from policies.data.resumable import ResumableLoader

ROWS, BATCH = 20, 4  # five batches an epoch


class Shuffled:
    """Each epoch's rows in an order of its own."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return ROWS // BATCH

    def __iter__(self):
        yield from np.random.default_rng([7, self.epoch]).permutation(ROWS).reshape(-1, BATCH).tolist()


def flat(batches):
    return list(itertools.chain(*batches))


def test_a_loader_goes_on_where_it_was_and_loads_nothing_twice():
    loaded = []

    class Rows:
        def __len__(self):
            return ROWS

        def __getitem__(self, row):
            loaded.append(row)
            return row

    loader = ResumableLoader(Rows(), Shuffled())
    first = [batch.tolist() for batch in loader]
    second = [batch.tolist() for batch in loader]
    assert len(loader) == len(first) == 5 and sorted(flat(first)) == sorted(flat(second)) == list(range(ROWS))
    assert first != second
    other = ResumableLoader(Rows(), Shuffled())
    other.load_state_dict({"epoch": 1, "given": 3})
    loaded.clear()
    assert [batch.tolist() for batch in other] == second[3:] and loaded == flat(second[3:])
    assert other.state_dict() == {"epoch": 1, "given": 5}
    iterator = iter(other)
    next(iterator)
    assert other.state_dict() == {"epoch": 2, "given": 1}


def test_a_loader_leaves_the_random_stream_of_training_alone():
    """DataLoader by itself draws a seed for its workers from it."""
    before = torch.get_rng_state()
    data = TensorDataset(torch.arange(ROWS))
    list(ResumableLoader(data, Shuffled()))
    assert torch.get_rng_state().equal(before)
    list(DataLoader(data))
    assert not torch.get_rng_state().equal(before)
