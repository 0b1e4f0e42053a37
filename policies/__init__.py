"""Everything that learns.

Importing this package, before torch is, asks OpenMP's threads to sleep while they wait. By default they spin, and on cores that
other programs share an update then takes ten times as long, or worse; on idle cores the difference is small.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
