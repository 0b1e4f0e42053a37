"""Augmentations do what their names say, to each image apart and to all its frames alike,
and repeat under the same generator.
"""

import io

import numpy as np
import pytest
import torch
from conftest_augment import OPTIONS, generator, images, one
from torch._subclasses.fake_tensor import FakeTensorMode

from policies.augment import AUGMENTATIONS, make_augmentation, scale_amplitude
from robot.errors import PixelarmError, UnknownName

every = pytest.mark.parametrize("name", list(AUGMENTATIONS))


# --------------------------------------------------------------------------------------------- what all of them promise
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
    """64 copies of one picture: two outcomes of flip and grayscale, four of rotate, 25 places to move to,
    more of the others.
    """
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


# ---------------------------------------------------------------------------------------------------- in configurations
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
        [{"crop": {"size": 8}}, {"translate": {"size": 10}},
         *[{n: OPTIONS[n]} for n in AUGMENTATIONS if n not in ("crop", "translate")]],
    ]  # fmt: skip
    module, buffer = Acting(items), io.BytesIO()
    torch.onnx.export(module, (images(1),), dynamo=True, verbose=False).save(buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: images(1).numpy()})
    for ours, theirs in zip(module(images(1)), found, strict=True):
        assert np.allclose(ours.numpy(), theirs, atol=1e-3)


# --------------------------------------------------------------------------------------------------------------- states
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


# ------------------------------------------------------------------------------------------------------------- the docs
def test_every_augmentation_is_in_the_docs_with_its_options(root):
    import inspect

    text = (root / "docs" / "augmentation.md").read_text()
    assert "images/augmentation.png" in text and (root / "docs" / "images" / "augmentation.png").exists()
    for name, make in AUGMENTATIONS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{option}`" in row for option in inspect.signature(make).parameters)


@pytest.mark.gl
def test_the_gallery_is_drawn(tmp_path, capsys, monkeypatch):
    from policies.augment import gallery
    from policies.augment.gallery import lift_frame, main

    monkeypatch.setattr(gallery, "DRAWS", 1)  # of each augmentation
    assert main(["--out", str(tmp_path / "new" / "gallery.png")]) == 0
    assert (tmp_path / "new" / "gallery.png").read_bytes().startswith(b"\x89PNG") and "wrote" in capsys.readouterr().out
    frames = lift_frame(steps=0, size=32)
    assert list(frames) == ["agentview", "eye_in_hand"] and all(f.shape == (1, 3, 32, 32) for f in frames.values())
