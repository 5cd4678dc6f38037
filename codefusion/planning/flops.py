"""FLOPs of a training step and of sampling by our own formula, part by part.

Counted: every product with a weight and every contraction of attention, of the
alignment and of the pointer, two FLOPs a multiplication and addition. The backward
pass costs twice the forward pass, once for each operand; the pass that makes a first
estimate has none. *Model* FLOPs are those, and utilisation is of them. *Hardware*
FLOPs add what remat computes again and the optimizer's matrix products.

Left out: everything element by element (softmax, norms, dropout, random numbers, the
update of AdamW, the average), lookups and scatters, the cast of weights, and what a
kernel of attention computes again in its backward pass.

The compiler's own number (`cost_analysis`) is of one device, has the element-wise
work, takes the body of a loop once and a Pallas kernel for nothing.
"""

import dataclasses
import math

import jax

from codefusion import diffusion
from codefusion.models import denoiser
from codefusion.training import optimizers

_PAPER = diffusion.LOSSES["paper"]


@dataclasses.dataclass(frozen=True)
class Flops:
    """FLOPs of one step over all devices.

    Attributes:
      parts: of the model, by part.
      recomputed: by remat, in the backward pass.
      optimizer: of its matrix products.
    """

    parts: dict[str, float]
    recomputed: float = 0.0
    optimizer: float = 0.0

    @property
    def model(self):
        """What the mathematics asks for."""
        return sum(self.parts.values())

    @property
    def hardware(self):
        """What the devices compute."""
        return self.model + self.recomputed + self.optimizer


def training(objective, batch_size, optimizer=None, params=None):
    """Returns the `Flops` of a training step.

    Args:
      objective: a `training.objectives.Objective`.
      batch_size: rows, int.
      optimizer: a choice of `OPTIMIZERS`; None counts none.
      params: tree of the parameters' shapes, read for the optimizer.
    """
    model = objective.model
    parts = forward(model, reads_embedding=isinstance(objective.loss, _PAPER))
    step = {name: 3.0 * batch_size * x for name, x in parts.items()}
    # Nothing flows back into the features of a time.
    step["denoiser"] -= 2.0 * batch_size * denoiser.TIME_WIDTH * model.width
    if model.self_conditioning:
        share = objective.self_conditioning * batch_size
        step["first estimate"] = share * parts["denoiser"]
    return Flops(
        parts=step,
        recomputed=batch_size * _recomputed(model),
        optimizer=_newton_schulz(optimizer, params),
    )


def sampling(plan, num_requests):
    """Returns the `Flops` of answering a batch of requests.

    Args:
      plan: a `drawing.Plan`.
      num_requests: int.
    """
    parts = forward(plan.model, reads_embedding=False)
    contexts = 1 if plan.guidance == 1.0 else 2
    draws, plans = num_requests * plan.num_draws, num_requests * plan.num_plans
    steps = plan.sampler.num_steps
    depth = plan.model.denoiser_layers + plan.model.decoder_layers
    # The decoder reads the first context alone.
    read = contexts * plan.model.denoiser_layers
    read += plan.rounding.reads_decoder * plan.model.decoder_layers
    found = {
        "encoder": contexts * num_requests * parts["encoder"],
        "context": num_requests * parts["context"] * read / depth,
        "denoiser": contexts * plans * steps * parts["denoiser"],
    }
    if plan.rounding.reads_decoder:
        found |= {name: draws * parts[name] for name in ("decoder", "head")}
    else:
        clamps = isinstance(plan.rounding, diffusion.ROUNDINGS["clamping"])
        found["rounding"] = draws * (1 + clamps * steps) * _nearest(plan.model)
    return Flops(found)


def forward(model, *, reads_embedding):
    """Returns {part: FLOPs of one example's forward pass}.

    Args:
      model: a `models.CodeFusion`.
      reads_embedding: whether the loss compares the decoder's output with embeddings.
    """
    m = model
    source, target = m.max_source_length, m.max_target_length
    width, embedding = m.width, m.embedding_width
    inner = m.num_heads * m.head_width
    block = _block(m, m.alignment_rounds)
    layer = _encoder_layer(m)
    shared = source * embedding * width if m.share_embedding else 0
    heads = m.denoiser_layers + m.decoder_layers
    estimate = embedding if m.self_conditioning else 0
    ends = target * (2 * embedding + estimate) * width
    time = (denoiser.TIME_WIDTH + width) * width
    found = {
        "encoder": shared + m.encoder_layers * (layer.dense + layer.batched),
        "context": source * width * heads * 2 * inner,
        "denoiser": ends + time + m.denoiser_layers * (block.dense + block.batched),
        "decoder": _decoder(m),
        "head": _head(m) + (target * width * embedding if reads_embedding else 0),
    }
    return {name: 2.0 * count for name, count in found.items()}


@dataclasses.dataclass(frozen=True)
class _Layer:
    """Multiplications of a layer: with weights, of activations, and the last product,
    of which the backward pass needs only the operands."""

    dense: int
    batched: int
    last: int


def _encoder_layer(m):
    source, inner = m.max_source_length, m.num_heads * m.head_width
    return _Layer(
        dense=source * m.width * (4 * inner + 2 * m.mlp_width),
        batched=2 * source * source * inner,
        last=source * m.width * m.mlp_width,
    )


def _decoder(m):
    """Returns the multiplications of the decoder, and of what it reads a plan by."""
    target, width, embedding = m.max_target_length, m.width, m.embedding_width
    if not m.causal_decoder:
        layer = _block(m, m.alignment_rounds)
        ends = target * embedding * width
        return ends + m.decoder_layers * (layer.dense + layer.batched)
    layer = _block(m, 0, beside=target)
    inner = m.num_heads * m.head_width
    plan = target * width * (embedding + m.decoder_layers * 2 * inner)
    ends = target * 2 * embedding * width
    return ends + plan + m.decoder_layers * (layer.dense + layer.batched)


def _block(m, alignment_rounds, beside=0):
    """Returns the `_Layer` of the denoiser and the decoder.

    Args:
      m: a `models.CodeFusion`.
      alignment_rounds: of its cross-attention.
      beside: positions that it attends to beside the source.
    """
    source, target = m.max_source_length + beside, m.max_target_length
    inner = m.num_heads * m.head_width
    along = alignment_rounds * m.num_heads * target**2 * (source + target - 1)
    return _Layer(
        dense=target * m.width * (6 * inner + 2 * m.mlp_width),
        batched=2 * target * (target + source) * inner + along,
        last=target * m.width * m.mlp_width,
    )


def _head(m):
    source, target = m.max_source_length, m.max_target_length
    vocabulary = target * m.width * m.vocab_size
    if m.head.__name__ != "CopyHead":
        return vocabulary
    pointer = (target + source) * m.width**2 + target * source * m.width
    return vocabulary + target * m.width + pointer


def _nearest(m):
    """Returns the FLOPs of one comparison of all positions with all embeddings."""
    return 2.0 * m.max_target_length * m.embedding_width * m.vocab_size


def _recomputed(m):
    """Returns the FLOPs that the backward pass of one example repeats under remat."""
    if not m.remat:
        return 0.0
    layers = [_encoder_layer(m)] * m.encoder_layers
    layers += [_block(m, m.alignment_rounds)] * m.denoiser_layers
    if m.causal_decoder:
        beside = m.max_target_length
        layers += [_block(m, 0, beside=beside)] * m.decoder_layers
    else:
        layers += [_block(m, m.alignment_rounds)] * m.decoder_layers
    if m.remat_policy == "dots":
        return 2.0 * sum(layer.batched for layer in layers)
    return 2.0 * sum(layer.dense - layer.last + layer.batched for layer in layers)


def _newton_schulz(optimizer, params):
    """Returns the FLOPs of making Muon's matrices orthogonal; 0 for another choice.

    Of X [m, n] with m <= n an iteration is X X' (m m n), A A (m m m) and B X (m m n).
    """
    if not isinstance(optimizer, optimizers.Muon):
        return 0.0
    total = 0
    chosen = optimizers.muon_dimensions(params)
    for leaf, dimensions in _pairs(params, chosen):
        rows, columns = (
            math.prod(leaf.shape[axis] for axis in _axes(chosen_axes))
            for chosen_axes in (dimensions.reduction_axis, dimensions.output_axis)
        )
        matrices = math.prod(leaf.shape) // (rows * columns)
        small, large = sorted((rows, columns))
        total += matrices * small * small * (2 * large + small)
    return 2.0 * optimizer.newton_schulz_steps * total


def _pairs(params, chosen):
    """Returns (leaf, dimensions) of the parameters that have any."""
    pairs = []
    jax.tree.map(lambda leaf, found: pairs.append((leaf, found)), params, chosen)
    return [(leaf, found) for leaf, found in pairs if found is not None]


def _axes(axes):
    return axes if isinstance(axes, tuple) else (axes,)
