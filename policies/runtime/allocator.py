"""Memory that stays with the process: an update allocates the same large tensors as the one before it."""

from __future__ import annotations

import ctypes

# names and numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Have malloc keep freed blocks of up to 1 GiB for the next tensor; True where that is possible (Linux with glibc).

    Otherwise a block of more than 32 MiB, or of much less at the heap's end, goes back to the kernel, which zeroes each
    of its pages anew when it is next used: a tenth of an update on a CPU. The process then holds on to the most it has
    ever needed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(
        [bool(mallopt(ctypes.c_int(option), ctypes.c_int(KEEP))) for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD)]
    )
