"""Commands of arms, simulated ones and operators."""

from robot.inference.threads import one_blas_thread

one_blas_thread()  # nothing below imports numpy before
