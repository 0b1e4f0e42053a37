"""Demonstrations are read by runs that learn in the way they were recorded, or the difference is said."""

import pytest
from conftest_policies import random_episode

from policies.training.checks import check_recording
from robot.errors import PixelarmError

HERE = {
    "look": "plain", "renderer": "opengl", "actuation_delay_ms": [0.0, 50.0], "randomise": ["mass"], "hold_steps": 1,
}  # fmt: skip


@pytest.fixture
def demos(contract):
    return [random_episode(contract, 2, seed) for seed in range(3)]


def test_the_same_recording_is_taken_without_a_word(demos):
    for demo in demos:
        demo.provenance["recording"] = {**HERE, "actuation_delay_ms": (0, 50)}
    assert check_recording(HERE, demos) == []


def test_older_demonstrations_are_taken_as_before(demos):
    """They say nothing of how they were recorded, or only how long a success had lasted."""
    demos[0].provenance["hold_steps"] = 1
    assert check_recording(HERE, demos) == []
    demos[1].provenance["hold_steps"] = 4
    with pytest.raises(
        PixelarmError, match="hold_steps: 1 in this run, 4 in demonstrations: learn with task.hold_steps=4"
    ):
        check_recording(HERE, demos)


def test_every_difference_is_named_once_with_the_options_that_end_it(demos):
    other = {"look": "textured", "renderer": "raycast", "actuation_delay_ms": [0, 12.5], "randomise": [], "rig": "b"}
    demos[1].provenance["recording"] = demos[2].provenance["recording"] = other
    with pytest.raises(PixelarmError) as refused:
        check_recording({**HERE, "rig": "a"}, demos)
    assert str(refused.value).splitlines()[1:] == [
        "  - look: 'plain' in this run, 'textured' in demonstrations: "
        "learn with task.look=textured, or record others with --look plain",
        "  - actuation_delay_ms: [0.0, 50.0] in this run, [0, 12.5] in demonstrations: "
        "learn with task.actuation_delay_ms=[0,12.5], or record others with --actuation-delay-ms 0 50",
        "  - randomise: ['mass'] in this run, [] in demonstrations: "
        "learn with task.randomise=[], or record others with --randomise mass",
        "  - rig: 'a' in this run, 'b' in demonstrations: record others like this run",
    ]
    with pytest.raises(PixelarmError, match="or record others without --randomise"):
        check_recording({"randomise": []}, [random_with(demos[0], {"randomise": ["mass"]})])


def random_with(demo, recording):
    demo.provenance["recording"] = recording
    return demo


def test_another_renderer_is_said_and_not_refused(demos):
    """Its pictures are nearly the same: tests/sim/rendering/test_renderer.py holds the two within 3 of 255."""
    demos[0].provenance["recording"] = {**HERE, "renderer": "raycast"}
    [note] = check_recording(HERE, demos)
    assert note.startswith(
        "renderer: 'opengl' in this run, 'raycast' in demonstrations: the renderers' pictures differ"
    )
