import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest_policies import agent, contract  # noqa: F401
