"""The contract: identity, text both ways, differences in words, and what it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import yaml

from robot.actions import KINDS
from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import ContractMismatch, PixelarmError


def reach() -> Contract:
    return Contract(
        task="reach",
        cameras=(Camera("front", 4, 6), Camera("hand", 2, 2)),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action(
            "eef_delta_position", ("dx", "dy", "gripper"), ("m", "m", "1"), (-0.04, -0.04, -1), (0.04, 0.04, 1)
        ),
        rate_hz=10,
        deadline_ms=80,
        max_age_ms=100,
    )


def observation() -> dict[str, np.ndarray]:
    return {
        "front": np.zeros((4, 6, 3), np.uint8),
        "hand": np.zeros((2, 2, 3), np.uint8),
        "eef_pos": np.zeros(3, np.float32),
        "gripper_opening": np.zeros(1, np.float32),
    }


# ------------------------------------------------------------------ identity and text
def test_hash_is_that_of_the_canonical_json() -> None:
    contract = reach()
    canonical = json.dumps(json.loads(contract.to_json()), sort_keys=True)
    assert contract.hash == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_hash_stays_the_same_over_releases() -> None:
    """A change of this number makes every stored dataset and bundle foreign: raise SCHEMA with it."""
    assert reach().hash == "bf2f243a1a6e87f6"


def test_ten_and_ten_point_nought_are_one_contract() -> None:
    whole, real = reach(), dataclasses.replace(reach(), rate_hz=10.0, deadline_ms=80.0)
    assert whole.hash == real.hash
    assert Contract.from_text(whole.to_yaml().replace("rate_hz: 10.0", "rate_hz: 10")).hash == whole.hash


@pytest.mark.parametrize("write", [Contract.to_yaml, Contract.to_json])
def test_text_both_ways(write) -> None:  # type: ignore[no-untyped-def]
    contract = reach()
    again = Contract.from_text(write(contract))
    assert again == contract
    assert again.hash == contract.hash
    assert contract.diff(again) == []


def test_load_reads_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "contract.yaml"
    path.write_text(reach().to_yaml())
    assert Contract.load(path) == reach()


def test_every_field_changes_the_hash() -> None:
    contract = reach()
    others = [
        dataclasses.replace(contract, task="lift"),
        dataclasses.replace(contract, rate_hz=20),
        dataclasses.replace(contract, deadline_ms=79),
        dataclasses.replace(contract, max_age_ms=101),
        dataclasses.replace(contract, history=2),
        dataclasses.replace(contract, chunk=8),
        dataclasses.replace(contract, cameras=contract.cameras[:1]),
        dataclasses.replace(contract, cameras=contract.cameras[::-1]),
        dataclasses.replace(contract, proprio=()),
        dataclasses.replace(contract, action=dataclasses.replace(contract.action, high=(0.04, 0.05, 1))),
    ]
    assert len({contract.hash, *(other.hash for other in others)}) == 1 + len(others)


# ------------------------------------------------------------------ differences in words
def test_diff_names_the_camera_and_both_values() -> None:
    other = dataclasses.replace(reach(), cameras=(Camera("front", 4, 8), Camera("hand", 2, 2)))
    assert reach().diff(other) == ["cameras.front.width: 6 here, 8 there"]


def test_diff_names_what_is_absent_on_either_side() -> None:
    other = dataclasses.replace(reach(), proprio=reach().proprio[:1])
    assert "proprio.gripper_opening.size: 1 here, absent there" in reach().diff(other)
    assert "proprio.gripper_opening.size: absent here, 1 there" in other.diff(reach())


def test_require_equal_says_who_differs_and_how() -> None:
    other = dataclasses.replace(reach(), rate_hz=20)
    with pytest.raises(ContractMismatch, match=r"the arm(.|\n)*the bundle(.|\n)*rate_hz: 10.0 here, 20.0 there"):
        reach().require_equal(other, here="the arm", there="the bundle")
    reach().require_equal(reach(), here="the arm", there="the bundle")


def test_two_orders_of_cameras_have_a_difference_in_words() -> None:
    """Order decides the channel order of a network, so it is part of the hash; the words must not be empty then."""
    other = dataclasses.replace(reach(), cameras=reach().cameras[::-1])
    assert reach().hash != other.hash
    assert reach().diff(other)


# ------------------------------------------------------------------ what it refuses
def test_unknown_action_kind_lists_the_valid_ones() -> None:
    with pytest.raises(PixelarmError, match="telepathy") as caught:
        dataclasses.replace(reach().action, kind="telepathy")
    assert all(kind in str(caught.value) for kind in KINDS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ("dx",)}, "one length"),
        ({"low": (-0.04, 0.05, -1)}, "low < high"),
        ({"high": (0.04, 0.04, -1)}, "low < high"),
        ({"low": (float("nan"), -0.04, -1)}, "low < high"),
    ],
)
def test_action_bounds_are_checked(change: dict, words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        dataclasses.replace(reach().action, **change)


@pytest.mark.parametrize("field", ["rate_hz", "deadline_ms", "max_age_ms", "history", "chunk"])
def test_nought_is_refused_by_name(field: str) -> None:
    with pytest.raises(PixelarmError, match=field):
        dataclasses.replace(reach(), **{field: 0})


def test_a_doubled_name_is_refused() -> None:
    with pytest.raises(PixelarmError, match="front"):
        dataclasses.replace(reach(), proprio=(Proprio("front", 3, "m", "base"),))


@pytest.mark.parametrize("where", [(), ("action",), ("cameras", 0), ("proprio", 1)])
def test_unknown_keys_are_named(where: tuple) -> None:
    data = reach().to_dict()
    inner = data
    for key in where:
        inner = inner[key]
    inner["colour"] = "red"
    with pytest.raises(PixelarmError, match="colour"):
        Contract.from_dict(data)


@pytest.mark.parametrize("field", ["task", "cameras", "action", "rate_hz"])
def test_missing_keys_are_named(field: str) -> None:
    data = reach().to_dict()
    del data[field]
    with pytest.raises(PixelarmError, match=field):
        Contract.from_dict(data)


@pytest.mark.parametrize("text", ["", "[1, 2]", "just words", "schema: 99", "task: [unclosed", "{}"])
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises(PixelarmError):
        Contract.from_text(text)


@pytest.mark.parametrize(
    "change",
    [
        {"cameras": None},
        {"cameras": 3},
        {"cameras": ["front"]},
        {"action": [1]},
        {"rate_hz": "fast"},
        {"history": None},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_in_words(change: dict) -> None:
    with pytest.raises(PixelarmError):
        Contract.from_dict({**reach().to_dict(), **change})


def test_yaml_cannot_make_objects() -> None:
    with pytest.raises(PixelarmError):
        Contract.from_text("!!python/object/apply:os.getcwd []")


# ------------------------------------------------------------------ values
def test_a_right_observation_passes() -> None:
    reach().check_observation(observation())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("front", np.zeros((6, 4, 3), np.uint8), r"'front' must be \(4, 6, 3\) uint8, got \(6, 4, 3\) uint8"),
        ("front", np.zeros((4, 6, 3), np.float32), "got .* float32"),
        ("eef_pos", np.zeros(3), "must be .* float32, got .* float64"),
        ("eef_pos", np.zeros(4, np.float32), "'eef_pos' must be"),
        ("hand", None, "'hand' is missing; present: eef_pos, front, gripper_opening"),
    ],
)
def test_a_wrong_observation_is_described(name: str, value: np.ndarray | None, words: str) -> None:
    wrong = observation()
    wrong.pop(name)
    if value is not None:
        wrong[name] = value
    with pytest.raises(ContractMismatch, match=words):
        reach().check_observation(wrong)


def test_clip_action_by_hand() -> None:
    clipped = reach().clip_action(np.array([[0.05, -0.01, 2.0], [-1.0, 0.04, -1.0]]))
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, np.array([[0.04, -0.01, 1], [-0.04, 0.04, -1]], np.float32))


def test_a_contract_is_plain_data() -> None:
    """What to_dict gives survives a safe YAML dump unchanged: lists, strings and numbers only."""
    data = reach().to_dict()
    assert yaml.safe_load(yaml.safe_dump(data)) == data
