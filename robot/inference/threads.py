"""How many threads numerical libraries may use beside a control loop."""

from __future__ import annotations

import os

BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_blas_thread() -> None:
    """Before numpy is imported: its matrix products use the thread that asks for them, unless the user has said more.

    OpenBLAS's other threads wait for the next product in a loop (``sched_yield``). Where one comes with every picture
    they never sleep: a policy node of 0.3 cores took 1.2, and the simulated arm beside it was late.
    """
    for name in BLAS:
        os.environ.setdefault(name, "1")
