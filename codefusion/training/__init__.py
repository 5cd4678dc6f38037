"""Objectives, optimizers, the training step and the loop that repeats it."""
