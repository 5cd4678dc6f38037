"""How the kernels keep masked keys, and rows without any, free of NaN."""

# A masked score, and the least maximum of a row: exp(MASKED - LEAST) is zero, so that a
# row of masked keys alone has no weight anywhere.
MASKED = -1e30
LEAST = -1e20
TINY = 1e-30  # divides the zeros of such a row
