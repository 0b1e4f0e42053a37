"""Pictures made to fit: averages worked out by hand, parts, turns, and settings that are refused by name."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from robot.errors import PixelarmError, UnknownName
from robot.images import AS_IT_COMES, TURNS, Fit, centred, reduced


def grey(rows: list[list[int]]) -> np.ndarray:
    """One channel ``(H, W, 1)``."""
    return np.array(rows, np.uint8)[..., None]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


# ------------------------------------------------------------------------------------------------------------- reduced
def test_averages_by_hand() -> None:
    # halves: (1 + 2 + 3 + 5) / 4 = 2.75 is 3; (0 + 0 + 0 + 2) / 4 = 0.5 is rounded up
    assert reduced(grey([[1, 2, 0, 0], [3, 5, 0, 2]]), 1, 2)[..., 0].tolist() == [[3, 1]]
    # three columns to two: the middle one is shared. (10 + 40 / 2) / 1.5 = 20, (40 / 2 + 100) / 1.5 = 80
    assert reduced(grey([[10, 40, 100]]), 1, 2)[..., 0].tolist() == [[20, 80]]
    # three rows to two, the same: the columns stay
    assert reduced(grey([[10, 0], [40, 0], [100, 3]]), 2, 2)[..., 0].tolist() == [[20, 0], [80, 2]]


@pytest.mark.parametrize(("height", "width"), [(7, 10), (3, 4), (7, 1), (1, 10), (5, 9), (6, 7)])
def test_every_ratio_is_the_mean_of_what_is_covered(height: int, width: int) -> None:
    """Against the definition: the picture enlarged until pixels of both sizes have whole numbers of parts."""
    pixels = noise(7, 10)
    large = np.repeat(np.repeat(pixels, height, axis=0), width, axis=1).astype(np.int64)
    sums = large.reshape(height, 7, width, 10, 3).sum((1, 3))
    assert np.array_equal(reduced(pixels, height, width), (2 * sums + 70) // 140)  # half up


def test_the_largest_pictures_do_not_overflow() -> None:
    white = np.full((2160, 3840, 3), 255, np.uint8)
    white[:, 1920:] = 254
    made = reduced(white, 84, 84)
    assert (made[:, :42] == 255).all() and (made[:, 42:] == 254).all()


def test_a_picture_of_the_right_size_is_the_very_same() -> None:
    pixels = noise(8, 8)
    assert reduced(pixels, 8, 8) is pixels and AS_IT_COMES(pixels, 8, 8) is pixels
    assert AS_IT_COMES(pixels, 4, 4) is pixels  # another size is refused where the contract is known: the mailbox


def test_pictures_are_never_enlarged() -> None:
    with pytest.raises(
        PixelarmError, match="a picture of 8x6 pixels is smaller than 8x8, and pictures are only reduced"
    ):
        reduced(noise(6, 8), 8, 8)


# -------------------------------------------------------------------------------------------------------------- centred
@pytest.mark.parametrize(
    ("shape", "wanted", "left", "top", "across", "down"),
    [
        ((480, 640), (84, 84), 80, 0, 480, 480),
        ((640, 480), (84, 84), 0, 80, 480, 480),
        ((720, 1280), (84, 84), 280, 0, 720, 720),
        ((480, 640), (48, 64), 0, 0, 640, 480),
        ((480, 640), (60, 100), 0, 48, 640, 384),  # 640 * 60 / 100 rows
        ((5, 8), (2, 3), 0, 0, 8, 5),  # 5 * 3 / 2 = 7.5 columns are 8
    ],
)
def test_the_largest_centred_part(
    shape: tuple[int, int], wanted: tuple[int, int], left: int, top: int, across: int, down: int
) -> None:
    pixels = noise(*shape)
    assert np.array_equal(centred(pixels, *wanted), pixels[top : top + down, left : left + across])


# ------------------------------------------------------------------------------------------------------------------ fit
def test_crop_then_resize_then_turn() -> None:
    pixels = grey([[9, 9, 9, 9, 9], [9, 0, 2, 4, 6], [9, 8, 8, 8, 8]])
    fit = Fit(crop=(1, 1, 4, 2), resize="stretch", rotate=90)
    # the crop is 0 2 4 6 over 8 8 8 8; halved across it is 1 5 over 8 8; turned, its left column is the upper row
    assert fit(pixels, 2, 2)[..., 0].tolist() == [[8, 1], [8, 5]]


@pytest.mark.parametrize(
    ("rotate", "turned"),
    [(0, [[1, 2], [3, 4]]), (90, [[3, 1], [4, 2]]), (180, [[4, 3], [2, 1]]), (270, [[2, 4], [1, 3]])],
)
def test_turns_are_clockwise(rotate: int, turned: list[list[int]]) -> None:
    made = Fit(rotate=rotate)(grey([[1, 2], [3, 4]]), 2, 2)
    assert made[..., 0].tolist() == turned and made.flags.c_contiguous


def test_center_of_a_turned_camera_has_the_contracts_proportions() -> None:
    # a picture of 4x8 (width by height) after the turn: 8x4 of what comes, 16x4, so 4 columns on each side are left out
    pixels = np.zeros((4, 16, 1), np.uint8)
    pixels[:, 4:12] = 7
    assert (Fit(resize="center", rotate=90)(pixels, 8, 4) == 7).all()


@pytest.mark.parametrize("fit", [Fit((13, 9), crop=(1, 2, 8, 6)), Fit((13, 9), resize="center"), Fit((13, 9))])
@pytest.mark.parametrize("rotate", TURNS)
def test_what_a_mounted_camera_sends_comes_out_upright(fit: Fit, rotate: int) -> None:
    fit = Fit(fit.size, fit.crop, fit.resize, rotate)
    height, width = fit.drawn_size(4, 4)
    upright = noise(height, width)
    sent = fit.mounted(upright)
    assert sent.shape == (9, 13, 3)  # as size says, however it is mounted
    without = Fit(resize=fit.resize)
    if fit.crop is None:
        assert np.array_equal(fit(sent, 4, 4), without(upright, 4, 4))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rotate": 45}, "rotate must be one of 0, 90, 180, 270 degrees, got 45"),
        ({"size": (640,)}, r"size must be a width and a height in pixels, got \[640\]"),
        ({"size": (640, 0)}, "size must be a width"),
        ({"crop": (0, 0, 10)}, "crop must be left, top, width and height"),
        ({"crop": (-1, 0, 10, 10)}, "crop must be left, top, width and height"),
        ({"crop": (0, 0, 0, 10)}, "crop must be left, top, width and height"),
        (
            {"size": (640, 480), "crop": (200, 0, 480, 480)},
            r"crop \[200, 0, 480, 480\] does not lie in a picture of 640x",
        ),
    ],
)
def test_settings_that_make_no_sense_name_the_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        Fit(**keys)


def test_an_unknown_resize_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="'bilinear'.*center, exact, stretch"):
        Fit(resize="bilinear")


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (Fit((640, 480)), "a size of 640x480 pixels is not 84x48; write resize: stretch or resize: center"),
        (Fit((640, 480), (0, 0, 84, 84)), "a crop of 84x84 pixels is not 84x48"),
        (
            Fit((84, 48), rotate=90),
            "a size of 84x48 pixels is not 48x84, which is the policy's 84x48 before rotate: 90",
        ),
        (
            Fit((80, 480), resize="stretch"),
            "a size of 80x480 pixels is smaller than 84x48, and pictures are only reduced",
        ),
        (Fit(crop=(0, 0, 84, 40), resize="center"), "a crop of 84x40 pixels is smaller than 84x48"),
    ],
)
def test_what_cannot_fit_a_contract_is_known_beforehand(fit: Fit, words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        fit.require(48, 84)


def test_what_can_fit_a_contract_is_taken() -> None:
    for fit in (
        Fit(),
        Fit((84, 48)),
        Fit((48, 84), rotate=270),
        Fit((640, 480), resize="center"),
        Fit(resize="stretch"),
    ):
        fit.require(48, 84)


def test_pictures_of_another_size_than_the_profile_says_are_refused() -> None:
    with pytest.raises(PixelarmError, match=r"a picture of 8x6 pixels came, and the arm's profile says size: \[8, 8\]"):
        Fit((8, 8))(noise(6, 8), 8, 8)
    with pytest.raises(PixelarmError, match=r"crop \[2, 0, 8, 6\] does not lie in a picture of 8x6 pixels"):
        Fit(crop=(2, 0, 8, 6))(noise(6, 8), 8, 8)


def test_only_fits_that_do_something_say_so() -> None:
    assert not AS_IT_COMES.changes and not Fit((640, 480)).changes
    changes: list[dict[str, Any]] = [{"crop": (0, 0, 1, 1)}, {"resize": "center"}, {"rotate": 90}]
    assert all(Fit(**a, **b).changes for a, b in itertools.combinations(changes, 2))
    assert all(Fit(**keys).changes for keys in changes)
