"""Pallas kernels, a folder per operation; see `docs/kernels.md`."""
