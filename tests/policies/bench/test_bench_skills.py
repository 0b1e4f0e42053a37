"""The table of `pixelarm bench skills`, by hand, and what it refuses."""

import numpy as np
import pytest

from policies.bench.skills import compared, completed, main
from robot.errors import PixelarmError, UnknownName
from sim.kitchen.protocol import Score


def played(done: list[list[int]]) -> Score:
    """Scenes whose subtasks are done (1) from step 300 on, or never (0)."""
    distances = np.ones((len(done), 451, len(done[0])))
    distances[:, 300:] -= 0.9 * np.array(done)[:, None]
    return Score(("microwave", "kettle"), tuple(range(len(done))), distances)


def test_learners_are_compared_in_pairs_with_the_first():
    """FIST does both in both scenes; the other does one and none: 2 against 0.5 of 2, 1.5 less on average, [-2, -1]."""
    scores = {"fist": [played([[1, 1], [1, 1]])], "bc": [played([[1, 0], [0, 0]])]}
    assert completed(scores["bc"], 280).tolist() == [[0, 0]] and completed(scores["bc"], 450).tolist() == [[1, 0]]
    lines = compared(scores).splitlines()
    assert lines[-2] == "| FIST | 0.00 [0.00, 0.00] | 2.00 [2.00, 2.00] |  | 1.00 | 1.00 |"
    words = (
        "| cloning, the demonstrations alone | 0.00 [0.00, 0.00] | 0.50 [0.00, 1.00] | -1.50 [-2.00, -1.00] | 0.50 |"
    )
    assert lines[-1] == f"{words} 0.00 |"


@pytest.mark.parametrize(
    ("argv", "error", "words"),
    [
        (["--split", "mixed"], PixelarmError, "no target demonstrations"),
        (["--split", "no-kettle", "--learners", "nobody"], UnknownName, "nobody"),
        (["--split", "no-kettle", "--data", "nowhere"], PixelarmError, "nowhere holds 0 of 10 target demonstrations"),
        (["--split", "no-kettle", "--episodes", "0"], PixelarmError, "--episodes must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(argv, error, words):
    with pytest.raises(error, match=words):
        main(argv)
