"""Warnings of large raw images, and the settings file of Fast DDS that ships against them."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot.profile.topics import CameraTopic
from robot.ros import shared_memory
from robot.ros.shared_memory import OLD_VARIABLE, RMW, VARIABLE, Watch

LARGE = 640 * 480 * 3
CAMERA = CameraTopic("front/image_raw", size=(640, 480), resize="center")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    for name in (OLD_VARIABLE, VARIABLE, RMW):
        monkeypatch.delenv(name, raising=False)


def settings(folder: Path, size: str, kind: str = "SHM") -> str:
    file = folder / "dds.xml"
    file.write_text(
        '<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><transport_descriptors>'
        f"<transport_descriptor><type>{kind}</type><segment_size>{size}</segment_size></transport_descriptor>"
        "</transport_descriptors></profiles>"
    )
    return str(file)


def test_what_ships_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OLD_VARIABLE, str(shared_memory.shipped()))
    assert shared_memory.lacking() == ""


def test_what_is_lacking_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared_memory.lacking() == f"{OLD_VARIABLE} is not set"
    monkeypatch.setenv(VARIABLE, str(shared_memory.shipped()))  # which this version of ROS does not read
    assert shared_memory.lacking() == f"{OLD_VARIABLE} is not set"
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert shared_memory.lacking() == ""
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setenv(OLD_VARIABLE, str(tmp_path / "nowhere.xml"))
    assert "names a file that cannot be read" in shared_memory.lacking()
    (tmp_path / "broken.xml").write_text("<profiles>")
    monkeypatch.setenv(OLD_VARIABLE, str(tmp_path / "broken.xml"))
    assert "names a file that cannot be read" in shared_memory.lacking()
    for file in (settings(tmp_path, "1048576"), settings(tmp_path, "16777216", "UDPv4"), settings(tmp_path, "many")):
        monkeypatch.setenv(OLD_VARIABLE, file)
        assert "no shared memory of 8 MiB or more" in shared_memory.lacking()
    monkeypatch.setenv(OLD_VARIABLE, settings(tmp_path, "8388608"))
    assert shared_memory.lacking() == ""


def test_another_middleware_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RMW, "rmw_cyclonedds_cpp")
    assert shared_memory.lacking() == ""
    monkeypatch.setenv(RMW, "rmw_fastrtps_dynamic_cpp")
    assert shared_memory.lacking() != ""


def test_large_images_are_warned_about_once() -> None:
    said: list[str] = []
    watch = Watch(said.append)
    watch.image("/front/image_raw", shared_memory.LARGE_BYTES)
    assert said == []
    watch.image("/front/image_raw", LARGE)
    watch.image("/rear/image_raw", LARGE)
    (words,) = said
    assert words.startswith("images on /front/image_raw have 0.9 MiB, and Fast DDS as it comes loses many of that size")
    assert f"set it to {shared_memory.shipped()}" in words and "type: compressed" in words


def test_with_the_settings_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OLD_VARIABLE, str(shared_memory.shipped()))
    Watch(pytest.fail).image("/front/image_raw", LARGE)


def test_settings_are_chosen_for_large_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv(VARIABLE, "")  # so that both are put back afterwards
    monkeypatch.setenv(OLD_VARIABLE, "")
    shared_memory.settle([CameraTopic("front/image_raw"), CameraTopic("b", type="compressed", size=(640, 480))])
    assert (os.environ[OLD_VARIABLE], os.environ[VARIABLE]) == ("", "")
    shared_memory.settle([CAMERA])
    assert os.environ[OLD_VARIABLE] == os.environ[VARIABLE] == str(shared_memory.shipped())
    monkeypatch.setenv(OLD_VARIABLE, "mine.xml")
    shared_memory.settle([CAMERA])
    assert os.environ[OLD_VARIABLE] == "mine.xml"
