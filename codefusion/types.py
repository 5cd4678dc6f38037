"""The one value that crosses from data to device code, and the dimension letters.

Dimensions used in every docstring:

  B  batch            S  source length     L  target length
  D  width            E  embedding width   V  vocabulary
  N  heads            H  head width        R  draws, of all requests
"""

from typing import NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray


class Batch(NamedTuple):
    """Tokenised rows; the only value that crosses from data to device code.

    Attributes:
      source: utterance tokens, or masked code in pre-training; int32[B, S].
      source_mask: True on real source tokens, bool[B, S].
      target: code tokens, then one eos, then padding; int32[B, L].
      target_mask: True on code tokens and the eos, bool[B, L].
      unsupervised: True where the context is replaced by Gaussian noise
        (the paper's unsupervised code generation), bool[B].
    """

    source: Array
    source_mask: Array
    target: Array
    target_mask: Array
    unsupervised: Array
