import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conftest_policies import agent, contract  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def operators_once():
    """onnxscript describes its several hundred operators anew for each export, half a second every time."""
    apis = pytest.importorskip("torch.onnx._internal._lazy_import").onnxscript_apis
    apis.get_torchlib_ops = cache(lambda: apis.__getattr__("get_torchlib_ops")())
