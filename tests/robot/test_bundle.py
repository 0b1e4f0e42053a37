"""A bundle is what it was written as, card included, or it is refused in words."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robot import bundle
from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import BundleError, PixelarmError

CONTRACT = Contract(
    task="lift",
    cameras=(Camera("front", 8, 8),),
    proprio=(Proprio("eef_pos", 3, "m", "base"),),
    action=Action("eef_delta_position", ("dx", "gripper"), ("m", "1"), (-0.04, -1), (0.04, 1)),
    rate_hz=10,
    deadline_ms=80,
    max_age_ms=100,
)
FIGURES = {"success": {"success": 0.5, "n": 50, "low": 0.37, "high": 0.63}, "seeds": (1, 2), "by_step": {10: 0.1}}


def network() -> bytes:
    """It answers zeros."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info("front", TensorProto.UINT8, [1, 8, 8, 3]),
        helper.make_tensor_value_info("eef_pos", TensorProto.FLOAT, [1, 3]),
    ]
    zeros = helper.make_node(
        "Constant", [], ["action"], value=helper.make_tensor("z", TensorProto.FLOAT, [1, 2], [0, 0])
    )
    output = helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, 2])
    model = helper.make_model(
        helper.make_graph([zeros], "zeros", inputs, [output]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    return model.SerializeToString()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return bundle.write(tmp_path / "bundle", b"network", CONTRACT, FIGURES)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((path / bundle.CARD).read_text())
    change(card)
    (path / bundle.CARD).write_text(json.dumps(card))


def test_what_was_written_is_read_back(written: Path) -> None:
    onnx, contract, card = bundle.read(written)
    assert (onnx, contract, card["success"]["success"]) == (b"network", CONTRACT, 0.5)
    edit(written, lambda card: card.update(files=card.pop("files")))  # other spaces, another order: the same card
    bundle.read(written)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["success"].update(success=0.99),
        lambda card: card.update(recipe="another"),
        lambda card: card.pop("seeds"),
        lambda card: card.update(card_hash="0" * 64),
    ],
)
def test_an_edited_card_is_refused(written: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(written, change)
    with pytest.raises(BundleError, match=r"card.json was altered: its success.*export the bundle again"):
        bundle.read(written)


@pytest.mark.parametrize("name", [bundle.POLICY, bundle.CONTRACT])
def test_an_altered_file_is_refused(written: Path, name: str) -> None:
    (written / name).write_bytes((written / name).read_bytes() + b"\n")
    with pytest.raises(BundleError, match=f"{name} was altered"):
        bundle.read(written)


def test_an_older_bundle_is_loaded_and_its_card_said_to_be_unverified(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle.write(tmp_path / "bundle", network(), CONTRACT, FIGURES)
    with caplog.at_level(logging.WARNING):
        assert bundle.main([str(path)]) == 0
        assert "bundle: verified, contract" in capsys.readouterr().out and not caplog.text
        edit(path, lambda card: card.pop("card_hash"))
        assert bundle.main([str(path)]) == 0
    assert "network and contract verified, the card is not" in capsys.readouterr().out
    assert "nobody can tell whether its figures (success, latency) were edited" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.update(files=[1]),
        lambda card: card.update(config=[1]),
        lambda card: card.pop("files"),
    ],
)
def test_a_card_of_other_things_is_refused_in_words(written: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(written, change)
    with pytest.raises(BundleError, match="is not a policy card: "):
        bundle.read(written)


def test_a_contract_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "contract.yaml").write_bytes(b"\xff\xfe")
    for path, words in (("contract.yaml", "utf-8"), ("none.yaml", "No such file"), (".", "Is a directory")):
        with pytest.raises(PixelarmError, match=f"cannot read the contract .*{words}"):
            Contract.load(tmp_path / path)
