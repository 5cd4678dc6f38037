"""What the C library does with memory that a step on the CPU gives back."""

import ctypes

# mallopt(3), as <malloc.h> of glibc numbers them.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1  # a number would be an int: below the temporaries of a large model


def keep_freed_memory():
    """Makes glibc keep freed memory for the next step; elsewhere does nothing.

    XLA allocates the temporaries of a step on the CPU anew at every step. By default
    glibc maps each afresh and unmaps it again, and the kernel zeroes every page of it:
    a fifth of the time of a training step. One arena, no mapped blocks and no trimming
    leave the pages where they are. To be called before threads start.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _NEVER)
