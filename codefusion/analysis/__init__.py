"""What is looked at and not scored: the denoising film, the curves of a run."""
