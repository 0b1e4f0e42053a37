"""Augmentations do what their names say, to each image apart and to all its frames alike, and repeat under the same generator."""

import io
import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms.v2 import functional as vision

from policies.augment import AUGMENTATIONS, make_augmentation, scale_amplitude
from policies.augment.boxes import random_box
from policies.augment.colour import RandomConv, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from robot.errors import PixelarmError, UnknownName

# every augmentation on pictures of 12 x 12, so that each draw shows
OPTIONS = {
    "shift": {"pixels": 2},
    "crop": {"size": 8},
    "translate": {"size": 16},
    "window": {"share": 0.5},
    "grayscale": {"p": 0.5},
    "cutout": {"smallest": 0.2, "largest": 0.5},
    "cutout_colour": {"smallest": 0.2, "largest": 0.5},
    "flip": {"p": 0.5},
    "rotate": {"p": 0.7},
    "random_conv": {},
    "colour_jitter": {},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 16, size: int = 12, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (batch, channels, size, size), generator=generator(1), dtype=torch.uint8)


def one(name: str, **options: object):
    return make_augmentation([{name: options}])


every = pytest.mark.parametrize("name", list(AUGMENTATIONS))


# ------------------------------------------------------------------------------------------------- what all of them promise
@every
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_size_type_and_range(name, dtype):
    augmentation, source = one(name, **OPTIONS[name]), images(channels=6).to(dtype)
    for out in (augmentation.train(source, generator()), augmentation.act(source)):
        assert out.shape == (16, 6, *augmentation.size(12, 12))
        assert out.dtype in (dtype, torch.float32)
        assert 0 <= out.min() and out.max() <= 255
    assert torch.equal(source, images(channels=6).to(dtype))  # not written to


@every
def test_a_generator_repeats_the_draw_and_another_seed_does_not(name):
    augmentation = one(name, **OPTIONS[name])
    first, again, other = (augmentation.train(images(), generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@every
def test_each_image_has_a_draw_of_its_own(name):
    """64 copies of one picture: two outcomes of flip and grayscale, four of rotate, 25 places to move to, more of the others."""
    copies = images(1).expand(64, -1, -1, -1)
    kinds = len(one(name, **OPTIONS[name]).train(copies, generator()).flatten(1).unique(dim=0))
    few = {"flip": 2, "grayscale": 2, "rotate": 4}
    assert kinds == few[name] if name in few else kinds >= 15


@every
def test_frames_of_one_image_share_the_draw(name):
    """Three equal frames stay equal."""
    out = one(name, **OPTIONS[name]).train(images().repeat(1, 3, 1, 1), generator())
    frames = out.unflatten(1, (3, 3))
    assert torch.equal(frames[:, 0], frames[:, 1]) and torch.equal(frames[:, 0], frames[:, 2])
    assert torch.allclose(
        frames[:, 0].float(), one(name, **OPTIONS[name]).train(images(), generator()).float(), atol=1e-3
    )


@every
def test_what_is_taken_from_the_generator_depends_on_shapes_alone(name):
    """So that an observation and its successor can get the same draw."""
    first, second = generator(), generator()
    one(name, **OPTIONS[name]).train(images(), first)
    one(name, **OPTIONS[name]).train(torch.zeros_like(images()), second)
    assert torch.equal(first.get_state(), second.get_state())


@every
def test_nothing_is_read_back_from_the_device(name):
    """Tensors without content refuse ``item()`` and every shape that would depend on content."""
    random, augmentation = generator(), one(name, **OPTIONS[name])
    with FakeTensorMode():
        source = torch.empty(4, 6, 12, 12, dtype=torch.uint8)
        assert augmentation.train(source, random).shape == augmentation.act(source).shape


@pytest.mark.parametrize(
    "item",
    [
        {"shift": {"pixels": 0}},
        {"crop": {"size": 12}},
        {"translate": {"size": 12}},
        {"window": {"share": 1.0}},
        {"grayscale": {"p": 0.0}},
        {"cutout": {"smallest": 0.0, "largest": 0.0}},
        {"cutout_colour": {"smallest": 0.0, "largest": 0.0}},
        {"flip": {"p": 0.0}},
        {"rotate": {"p": 0.0}},
        {"colour_jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}},
    ],
    ids=lambda item: next(iter(item)),
)
def test_with_nothing_to_draw_training_sees_what_acting_sees(item):
    augmentation = make_augmentation([item])
    assert torch.equal(augmentation.train(images(), generator()), augmentation.act(images()))
    assert torch.equal(augmentation.act(images()), images())


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"crop", "translate"}))
def test_acting_sees_the_picture_itself(name):
    assert torch.equal(one(name, **OPTIONS[name]).act(images()), images())


# ------------------------------------------------------------------------------------------------------------------- moves
def test_shift_of_two_by_two_by_hand():
    """With one pixel, the window of the picture padded to 4 x 4 has nine places."""
    source = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(200, 1, 2, 2)
    found = {tuple(out.flatten().tolist()) for out in one("shift", pixels=1).train(source, generator())}
    # rows: both upper, as they are, both lower; columns likewise
    rows, columns = [(1, 1), (1, 2), (2, 2)], [(0, 0), (0, 1), (1, 1)]
    assert found == {tuple(2 * (r - 1) + c + 1 for r in rs for c in cs) for rs in rows for cs in columns}


def test_shift_takes_its_rows_then_its_columns():
    """A run must see the same draws in every version: batch offsets down, then batch offsets right, each 0 to twice the pixels."""
    random = generator(5)
    down, right = (torch.randint(0, 7, (16,), generator=random) - 3 for _ in range(2))
    shifted = one("shift", pixels=3).train(images(), generator(5))
    for before, after, dy, dx in zip(images(), shifted, down, right):
        rows, columns = ((torch.arange(12) + d).clamp(0, 11) for d in (dy, dx))
        assert torch.equal(before[:, rows][:, :, columns], after)


def test_crop_is_a_window_of_its_image_and_acting_takes_the_middle():
    source = torch.arange(144, dtype=torch.uint8).view(1, 1, 12, 12)
    crop = one("crop", size=8)
    assert torch.equal(crop.act(source), source[:, :, 2:10, 2:10])
    corners = crop.train(source.expand(400, -1, -1, -1), generator())[:, 0, 0, 0].tolist()
    assert set(corners) == {12 * top + left for top in range(5) for left in range(5)}  # 0 to 4 = 12 - 8, both included
    odd = torch.arange(100, dtype=torch.uint8).view(1, 1, 10, 10)
    assert one("crop", size=7).act(odd)[0, 0, 0, 0] == 11  # (10 - 7) // 2 = 1, as CURL's


def test_crop_with_resize_keeps_the_size_and_its_centre():
    """A constant image stays constant; the centre pixel of an even ramp stays the centre."""
    crop = one("crop", size=8, resize=True)
    assert crop.size(12, 12) == (12, 12)
    flat = torch.full((1, 3, 12, 12), 7, dtype=torch.uint8)
    assert torch.allclose(crop.act(flat), torch.full((1, 3, 12, 12), 7.0))
    ramp = torch.arange(12, dtype=torch.uint8).expand(1, 3, 12, 12)
    # 8 columns 2..9 stretched over 12: the middle of columns 5 and 6 is 5.5 before and after
    assert crop.act(ramp)[0, 0, 0, 5:7].mean().item() == pytest.approx(5.5)


def test_translate_keeps_the_whole_picture_and_acting_puts_it_in_the_middle():
    source = images(400, size=3) // 2 + 1  # nowhere black
    translate = one("translate", size=5)
    moved = translate.train(source, generator())
    assert torch.equal(moved.sum(dim=(1, 2, 3)), source.sum(dim=(1, 2, 3)))
    places = set()
    for before, after in zip(source, moved):
        top, left = after[0].nonzero().amin(dim=0).tolist()
        assert torch.equal(after[:, top : top + 3, left : left + 3], before)
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(3)}
    middle = translate.act(source)
    assert torch.equal(middle[:, :, 1:4, 1:4], source) and torch.equal(
        middle.sum(dim=(1, 2, 3)), source.sum(dim=(1, 2, 3))
    )
    uneven = one("translate", size=6).act(source)  # 3 rows stay black: 1 above, 2 below
    assert torch.equal(uneven[:, :, 1:4, 1:4], source)


# ------------------------------------------------------------------------------------------------------------------- boxes
def test_window_keeps_its_share_and_blackens_the_rest():
    source = images(200) // 2 + 1
    out = one("window", share=0.5).train(source, generator())
    kept = out[:, 0] > 0
    assert torch.equal(out, source * kept[:, None])
    assert (kept.sum(dim=(1, 2)) == 36).all()  # 6 x 6 = half of 12, both ways
    first = torch.stack([box.nonzero().amin(dim=0) for box in kept])
    assert torch.equal(first + 5, torch.stack([box.nonzero().amax(dim=0) for box in kept]))  # in one piece
    assert first.unique().tolist() == list(range(7))  # 0 to 6 = 12 - 6


def test_a_box_by_hand():
    """A box as large as the picture leaves one place; one column short of it, two."""
    source = torch.empty(50, 3, 2, 3)
    whole = random_box(source, 2, 3, generator())
    assert whole.shape == (50, 1, 2, 3) and whole.all()
    boxes = random_box(source, torch.full((50,), 1), torch.full((50,), 2), generator())
    found = {tuple(box.flatten().int().tolist()) for box in boxes}
    assert found == {(1, 1, 0, 0, 0, 0), (0, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 0), (0, 0, 0, 0, 1, 1)}


def test_cutout_has_rads_sides_on_84_pixels_anywhere_in_the_picture():
    out = one("cutout").train(torch.ones(3000, 1, 84, 84, dtype=torch.uint8), generator())[:, 0]
    rows, columns = (out == 0).any(dim=2), (out == 0).any(dim=1)
    assert torch.equal(out == 0, rows[:, :, None] & columns[:, None, :])  # a box
    heights, widths = rows.sum(dim=1), columns.sum(dim=1)
    for sides in (heights, widths):
        assert (sides.min(), sides.max()) == (10, 30)
        # uniform on 10..30: mean 20, standard deviation sqrt((21**2 - 1) / 12) = 6.06, of the mean of 3000 0.11
        assert sides.float().mean().item() == pytest.approx(20, abs=0.45)
    assert rows[:, 0].any() and rows[:, 83].any() and columns[:, 0].any() and columns[:, 83].any()
    drawn = torch.stack(
        [heights.float(), widths.float(), rows.int().argmax(dim=1).float(), columns.int().argmax(dim=1).float()]
    )
    correlation = torch.corrcoef(drawn)
    # height and width, top and left, height and left: independent, so within 4 / sqrt(3000) = 0.073
    assert all(abs(correlation[i, j]) < 0.073 for i, j in ((0, 1), (2, 3), (0, 3), (1, 2)))


def test_cutout_colour_fills_its_box_with_one_colour():
    source = torch.zeros(200, 6, 20, 20)
    out = one("cutout_colour", smallest=0.25, largest=0.25).train(source, generator())
    for image in out:
        inside = image.amax(dim=0) > 0
        assert inside.sum() == 25  # 5 x 5; black itself would be drawn once in 256^3
        assert len(image[:, inside].unique(dim=1).T) == 1
    colours = out.amax(dim=(2, 3))
    assert torch.equal(colours[:, :3], colours[:, 3:])  # both frames
    # uniform on 0..255: mean 127.5, standard deviation 73.9, of the mean of 600 numbers 3.0
    assert colours[:, :3].mean().item() == pytest.approx(127.5, abs=12)


# ------------------------------------------------------------------------------------------------------------------- turns
def test_rotate_of_two_by_two_by_hand():
    source = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(3000, 3, 2, 2)
    out = one("rotate", p=1.0).train(source, generator())[:, 0].flatten(1)
    kinds, counts = out.unique(dim=0, return_counts=True)
    # counter-clockwise by 90: 2 4 / 1 3; by 180: 4 3 / 2 1; by 270: 3 1 / 4 2
    assert kinds.tolist() == [[2, 4, 1, 3], [3, 1, 4, 2], [4, 3, 2, 1]]
    assert (counts - 1000).abs().max() < 4 * math.sqrt(3000 / 3 * 2 / 3)


def test_flip_mirrors_left_and_right():
    assert one("flip", p=1.0).train(torch.tensor([[[[1, 2], [3, 4]]]]), generator()).tolist() == [[[[2, 1], [4, 3]]]]


@pytest.mark.parametrize(("name", "p"), [("flip", 0.2), ("rotate", 0.3), ("grayscale", 0.3)])
def test_the_probability_is_rads_unless_said_otherwise(name, p):
    source = images(1, size=4).expand(4000, -1, -1, -1)
    changed = (one(name).train(source, generator()) != source).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 4000))


@pytest.mark.parametrize("name", ["flip", "rotate"])
def test_turning_only_reorders_pixels(name):
    out = one(name, p=1.0).train(images(), generator())
    assert torch.equal(out.flatten(2).sort().values, images().flatten(2).sort().values)


# ------------------------------------------------------------------------------------------------------------------ colours
def test_grayscale_by_hand():
    source = torch.tensor([100, 200, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    out = one("grayscale", p=1.0).train(source, generator())
    # 0.2989 * 100 + 0.587 * 200 + 0.114 * 50 = 29.89 + 117.4 + 5.7 = 152.99, rounded down
    assert out.flatten().tolist() == [152, 152, 152]


def test_random_conv_is_a_convolution_of_each_image_with_weights_of_its_own():
    source = images(6, channels=6)
    out = one("random_conv").train(source, generator(7))
    weights = RandomConv.std * torch.randn(6, 3, 3, 3, 3, generator=generator(7))
    for image, weight, found in zip(source.float(), weights, out):
        expected = torch.nn.functional.conv2d(image.view(2, 3, 12, 12), weight, padding=1).clamp(0, 255)
        assert torch.allclose(found.view(2, 3, 12, 12), expected, atol=1e-3)


def test_random_conv_has_xavier_weights():
    """An impulse of 1 in the middle of one channel shows that channel's taps; their variance is 2 / (27 + 27) = 0.037."""
    impulse = torch.zeros(2000, 3, 3, 3)
    impulse[:, 0, 1, 1] = 1.0
    out = one("random_conv").train(impulse, generator())
    # the negative half is clipped to 0: of a normal number the mean square of the positive half is half the variance
    assert out.square().mean().item() == pytest.approx(1 / 54, rel=0.05)
    assert (out == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    torchs = torch.stack(
        [torch.nn.init.xavier_normal_(torch.empty(3, 3, 3, 3), generator=generator(i)) for i in range(200)]
    )
    assert torchs.std().item() == pytest.approx(RandomConv.std, rel=0.02)  # 16,200 numbers: 0.6 % is one deviation


@pytest.mark.parametrize(
    ("ours", "torchvisions", "low", "high"),
    [
        (adjust_brightness, vision.adjust_brightness, 0.6, 1.4),
        (adjust_contrast, vision.adjust_contrast, 0.6, 1.4),
        (adjust_saturation, vision.adjust_saturation, 0.6, 1.4),
        (adjust_hue, vision.adjust_hue, -0.5, 0.5),
    ],
)
def test_each_change_of_colour_is_torchvisions(ours, torchvisions, low, high):
    """Theirs an image at a time, on floats in 0..1."""
    source = images(20, channels=6).float().view(20, 2, 3, 12, 12)
    source[0] = source[0, :, :1]  # gray: without hue
    factors = torch.linspace(low, high, 20)
    found = ours(source, factors.view(-1, 1, 1, 1, 1))
    expected = torch.stack([torchvisions(image / 255, factor.item()) * 255 for image, factor in zip(source, factors)])
    assert torch.allclose(found, expected, atol=0.01)


def test_hue_by_hand():
    """A third of the circle takes red to green and orange (255, 128, 0) to (0, 255, 128)."""
    source = torch.tensor([[255.0, 0.0, 0.0], [255.0, 128.0, 0.0], [90.0, 90.0, 90.0]]).T.reshape(1, 1, 3, 1, 3)
    out = adjust_hue(source, torch.full((1, 1, 1, 1, 1), 1 / 3)).reshape(3, 3).T
    assert torch.allclose(out, torch.tensor([[0.0, 255.0, 0.0], [0.0, 255.0, 128.0], [90.0, 90.0, 90.0]]), atol=1e-3)


@pytest.mark.parametrize("option", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_applies_what_is_not_zero(option):
    off = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    source = torch.tensor([120.0, 60.0, 60.0]).view(1, 3, 1, 1).expand(2000, -1, 4, 4)
    out = one("colour_jitter", **(off | {option: 0.4})).train(source, generator())[:, :, 0, 0]
    low, high = out.amin(dim=0), out.amax(dim=0)
    if option == "brightness":  # 0.6 to 1.4 times
        assert torch.allclose(low, torch.tensor([72.0, 36.0, 36.0]), rtol=0.01)
        assert torch.allclose(high, torch.tensor([168.0, 84.0, 84.0]), rtol=0.01)
        assert out[:, 0].mean().item() == pytest.approx(120, rel=0.01)
    elif option == "hue":  # 0.4 either way reaches green (1/3) and blue (-1/3); the largest and the least channel stay
        assert torch.allclose(out.amax(dim=1), torch.tensor(120.0)) and torch.allclose(
            out.amin(dim=1), torch.tensor(60.0)
        )
        assert high.tolist() == pytest.approx([120, 120, 120], abs=1)
    else:  # gray is 0.2989 * 120 + (0.587 + 0.114) * 60 = 77.9; red lies 42.1 above it, times 0.6 to 1.4
        assert (low[0].item(), high[0].item()) == pytest.approx((77.93 + 0.6 * 42.07, 77.93 + 1.4 * 42.07), abs=0.2)


# ---------------------------------------------------------------------------------------------------------- in configurations
def test_several_follow_each_other():
    both = make_augmentation([{"crop": {"size": 8}}, {"translate": {"size": 10}}])
    assert both.size(12, 12) == (10, 10) and both.train(images(), generator()).shape == (16, 3, 10, 10)
    middle = both.act(images())
    assert torch.equal(middle[:, :, 1:9, 1:9], images()[:, :, 2:10, 2:10]) and middle[:, :, 0].sum() == 0
    random = generator()
    expected = one("translate", size=10).train(one("crop", size=8).train(images(), random), random)
    assert torch.equal(both.train(images(), generator()), expected)


def test_none_leaves_images_alone():
    nothing = make_augmentation([])
    assert nothing.size(12, 13) == (12, 13)
    assert torch.equal(nothing.train(images(), generator()), images()) and torch.equal(nothing.act(images()), images())


def test_a_name_alone_takes_the_papers_numbers():
    assert make_augmentation(["shift"]).pixels == 4
    assert make_augmentation(["crop"]).size(100, 100) == (84, 84)
    assert make_augmentation(["translate"]).size(100, 100) == (108, 108)


@pytest.mark.parametrize(
    ("items", "error", "says"),
    [
        (["blur"], UnknownName, "augmentation 'blur'.*colour_jitter.*crop.*window"),
        ([{"shift": {"pixel": 3}}], UnknownName, "option of augmentation 'shift' 'pixel'.*pixels"),
        ([{"random_conv": {"p": 1.0}}], UnknownName, "option of augmentation 'random_conv' 'p'"),
        ([{"shift": {"pixels": -1}}], PixelarmError, "shift.pixels is a whole number of pixels, 0 or more, got -1"),
        ([{"shift": {"pixels": 2.5}}], PixelarmError, "option pixels of augmentation 'shift' must be int, got 2.5"),
        ([{"crop": {"size": 0}}], PixelarmError, "crop.size.*1 or more, got 0"),
        ([{"crop": {"resize": "yes"}}], PixelarmError, "option resize of augmentation 'crop' must be bool, got 'yes'"),
        ([{"flip": {"p": 1.5}}], PixelarmError, "flip.p is a number from 0 to 1, got 1.5"),
        ([{"grayscale": {"p": True}}], PixelarmError, "option p of augmentation 'grayscale' must be float, got True"),
        ([{"colour_jitter": {"hue": 0.6}}], PixelarmError, "colour_jitter.hue is a number from 0 to 0.5, got 0.6"),
        ([{"cutout": {"smallest": 0.5}}], PixelarmError, "smallest side .0.5. is more than its largest"),
        (
            [{"window": {"share": "all"}}],
            PixelarmError,
            "option share of augmentation 'window' must be float, got 'all'",
        ),
    ],
)
def test_what_is_wrong_is_said(items, error, says):
    with pytest.raises(error, match=says):
        make_augmentation(items)


@pytest.mark.parametrize(
    ("item", "shape", "says"),
    [
        ({"crop": {"size": 84}}, (64, 64), "cannot crop 84 pixels from pictures of 64 x 64.*task.image_size"),
        ({"translate": {"size": 60}}, (64, 48), "pictures of 64 x 48 do not fit on a square of 60"),
        ({"rotate": {}}, (64, 48), "rotate needs square pictures, got 64 x 48"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(item, shape, says):
    augmentation = make_augmentation([item])
    for call in (lambda: augmentation.size(*shape), lambda: augmentation.train(torch.zeros(2, 3, *shape), generator())):
        with pytest.raises(PixelarmError, match=says):
            call()


@pytest.mark.parametrize("name", ["grayscale", "random_conv", "colour_jitter", "cutout_colour"])
def test_colours_need_three_channels_a_frame(name):
    with pytest.raises(
        PixelarmError, match=f"{name} needs red, green and blue in every frame, got images of 4 channel"
    ):
        one(name).train(images(channels=4), generator())


class Acting(torch.nn.Module):
    """What a policy acts on, under several augmentations."""

    def __init__(self, items):
        super().__init__()
        self.views = [make_augmentation(item) for item in items]

    def forward(self, image):
        return tuple(view.act(image) for view in self.views)


@pytest.mark.filterwarnings("ignore")
def test_acting_views_go_into_onnx():
    """The kinds whose acting moves the picture, and all of them after one another."""
    onnxruntime = pytest.importorskip("onnxruntime")
    items = [
        [{"crop": {"size": 7}}],
        [{"crop": {"size": 7, "resize": True}}],
        [{"translate": {"size": 15}}],
        [{"crop": {"size": 8}}, {"translate": {"size": 10}}, *[{n: OPTIONS[n]} for n in AUGMENTATIONS if n not in ("crop", "translate")]],
    ]  # fmt: skip
    module, buffer = Acting(items), io.BytesIO()
    torch.onnx.export(module, (images(1),), dynamo=True, verbose=False).save(buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: images(1).numpy()})
    for ours, theirs in zip(module(images(1)), found, strict=True):
        assert np.allclose(ours.numpy(), theirs, atol=1e-3)


# ------------------------------------------------------------------------------------------------------------------- states
def test_amplitudes_are_scaled_a_row_at_a_time():
    vectors = torch.tensor([[1.0, -2.0, 0.0]]).repeat(5000, 1)
    scaled = scale_amplitude(vectors, 0.6, 1.2, generator())
    factors = scaled[:, 0]
    assert torch.allclose(scaled, vectors * factors[:, None])  # one number for the whole row; signs stay
    assert 0.6 <= factors.min() < 0.61 and 1.19 < factors.max() <= 1.2
    # uniform: mean 0.9, standard deviation 0.6 / sqrt(12) = 0.173, of the mean of 5000 0.0024
    assert factors.mean().item() == pytest.approx(0.9, abs=0.01)
    assert torch.equal(scaled, scale_amplitude(vectors, 0.6, 1.2, generator()))


@pytest.mark.parametrize("bounds", [(1.2, 0.6), (-0.5, 1.0)])
def test_amplitude_bounds_are_checked(bounds):
    with pytest.raises(PixelarmError, match="0 <= low <= high"):
        scale_amplitude(torch.ones(2, 3), *bounds, generator())


# ------------------------------------------------------------------------------------------------------------------ the docs
def test_every_augmentation_is_in_the_docs_with_its_options(root):
    import inspect

    text = (root / "docs" / "augmentation.md").read_text()
    assert "images/augmentation.png" in text and (root / "docs" / "images" / "augmentation.png").exists()
    for name, make in AUGMENTATIONS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{option}`" in row for option in inspect.signature(make).parameters)


@pytest.mark.gl
def test_the_gallery_is_drawn(tmp_path, capsys):
    from policies.augment.gallery import lift_frame, main

    assert main(["--out", str(tmp_path / "new" / "gallery.png")]) == 0
    assert (tmp_path / "new" / "gallery.png").read_bytes().startswith(b"\x89PNG") and "wrote" in capsys.readouterr().out
    frames = lift_frame(steps=0, size=32)
    assert list(frames) == ["agentview", "eye_in_hand"] and all(f.shape == (1, 3, 32, 32) for f in frames.values())
