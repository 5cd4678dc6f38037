"""The formula against what JAX traces and what XLA compiles."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest
from jax.interpreters import partial_eval

from codefusion import diffusion, drawing, models
from codefusion.planning import flops
from codefusion.training import objectives, optimizers
from codefusion.types import Batch

ROWS, SOURCE, TARGET = 3, 13, 11
MODEL = models.CodeFusion(
    vocab_size=101,
    width=24,
    embedding_width=10,
    num_heads=2,
    head_width=8,
    mlp_width=36,
    encoder_layers=2,
    denoiser_layers=3,
    decoder_layers=2,
    max_source_length=SOURCE,
    max_target_length=TARGET,
    head=models.HEADS["token"],
    self_conditioning=False,
    share_embedding=False,
    alignment_rounds=0,
    dropout=0.1,
    attention="xla",  # one branch to count
)
# Every field of the model that the formula reads, at both ends.
VARIANTS = {
    "plain": {},
    "copy": dict(head=models.HEADS["copy"], share_embedding=True, alignment_rounds=2),
    "self-conditioned": dict(self_conditioning=True, scan_layers=True),
    "scan, remat": dict(scan_layers=True, remat=True),
    "remat": dict(alignment_rounds=1, remat=True),
    "remat dots": dict(alignment_rounds=1, remat=True, remat_policy="dots"),
    "causal": dict(causal_decoder=True, alignment_rounds=1, remat=True),
    "scan, remat dots": dict(scan_layers=True, remat=True, remat_policy="dots"),
}


def jaxprs_of(value):
    """Yields the jaxprs in an equation's parameter."""
    for item in value if isinstance(value, tuple | list) else [value]:
        item = getattr(item, "jaxpr", item)
        if hasattr(item, "eqns"):
            yield item


def multiplications(jaxpr):
    """Returns the products of numbers in all matmuls of a jaxpr, loops unrolled."""
    total = 0
    for eqn in jaxpr.eqns:
        times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for value in eqn.params.values():
            total += times * sum(map(multiplications, jaxprs_of(value)))
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            left = eqn.invars[0].aval.shape
            depth = math.prod(left[i] for i in contracted)
            total += math.prod(eqn.outvars[0].aval.shape) * depth
    return total


def traced_flops(function, *args):
    """Returns the FLOPs of what a function's results need."""
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    needed, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return 2 * multiplications(needed)


def objective(model, loss="paper"):
    return objectives.Objective(
        model=model,
        process=diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.25),
        times=diffusion.StratifiedTimes(),
        loss=diffusion.LOSSES[loss](),
        context_dropout=0.1,
        self_conditioning=1.0 if model.self_conditioning else 0.0,
    )


def arguments(model, rows=ROWS):
    """Returns the parameters' shapes and a batch of zeros."""
    source = jnp.zeros((rows, model.max_source_length), jnp.int32)
    target = jnp.zeros((rows, model.max_target_length), jnp.int32)
    none = jnp.zeros(rows, bool)
    batch = Batch(source, source == 0, target, target == 0, none)
    key = jax.random.key(0)
    found = jax.eval_shape(model.init, key, source, batch.source_mask, target)
    return found["params"], batch


def gradient(loss_fn, batch):
    return jax.value_and_grad(lambda p: loss_fn(p, batch, jax.random.key(1))[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_the_formula_counts_every_product_that_is_traced(name):
    model = MODEL.clone(**VARIANTS[name])
    params, batch = arguments(model)
    counted = flops.training(objective(model), ROWS)
    assert counted.hardware == traced_flops(gradient(objective(model), batch), params)
    assert bool(counted.recomputed) == model.remat


def test_a_loss_of_tokens_reads_no_embedding():
    params, batch = arguments(MODEL)
    counted = flops.training(objective(MODEL, "tokens"), ROWS)
    assert counted.model == traced_flops(
        gradient(objective(MODEL, "tokens"), batch), params
    )
    assert counted.model < flops.training(objective(MODEL), ROWS).model


@pytest.mark.parametrize("scan_layers", [True, False])
def test_the_optimizers_products_are_counted(scan_layers):
    params, _ = arguments(MODEL.clone(scan_layers=scan_layers))
    chosen = optimizers.Muon(newton_schulz_steps=4)
    transform = chosen.build(10).transform
    state = jax.eval_shape(transform.init, params)
    counted = flops.training(objective(MODEL), ROWS, chosen, params).optimizer
    assert counted == traced_flops(transform.update, params, state, params)
    assert flops.training(objective(MODEL), ROWS, optimizers.AdamW(), params) == (
        flops.training(objective(MODEL), ROWS)
    )


def plan_of(rounding, **choices):
    """Returns a `drawing.Plan` of five steps with a rounding and further choices."""
    return drawing.Plan(
        model=MODEL.clone(self_conditioning=True),
        process=diffusion.GaussianProcess(diffusion.SqrtSchedule(), 0.25),
        rounding=rounding,
        sampler=diffusion.SAMPLERS["ddim"](num_steps=5),
        target_length=TARGET,
        temperature=1.0,
        token_temperature=1.0,
        is_resident=False,
        **choices,
    )


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("rounding", diffusion.ROUNDINGS)
def test_sampling_is_counted(rounding, guidance):
    plan = plan_of(diffusion.ROUNDINGS[rounding](), guidance=guidance, num_draws=4)
    params, batch = arguments(plan.model)

    def draw(params):
        numbers = jnp.arange(ROWS)
        key = jax.random.key(0)
        mask = batch.source_mask
        return drawing.draw(plan, params, batch.source, mask, key, numbers)

    counted = flops.sampling(plan, ROWS)
    assert counted.model == traced_flops(draw, params)


def test_with_beams_a_plan_is_denoised_once_for_all_of_them():
    rounding = diffusion.ROUNDINGS["decoder"]()
    beams = plan_of(rounding, guidance=1.0, num_draws=8, num_beams=4)
    draws = plan_of(rounding, guidance=1.0, num_draws=2)
    of_beams, of_draws = (flops.sampling(plan, ROWS).parts for plan in (beams, draws))
    assert of_beams["denoiser"] == of_draws["denoiser"]
    assert of_beams["decoder"] == 4 * of_draws["decoder"]


def test_xlas_count_of_an_unrolled_program_is_the_formula_and_a_little():
    sizes = dict(width=128, embedding_width=64, num_heads=4, head_width=32)
    sizes |= dict(encoder_layers=1, denoiser_layers=1, decoder_layers=1)
    model = MODEL.clone(**sizes, mlp_width=512, vocab_size=512, dropout=0.0)
    params, batch = arguments(model, rows=8)
    step = jax.jit(gradient(objective(model), batch))
    compiled = step.lower(params).cost_analysis()["flops"]
    counted = flops.training(objective(model), 8).model
    # The rest is softmax, norms and the loss, element by element.
    assert counted < compiled < 1.15 * counted


def test_a_scanned_layer_is_counted_once_by_the_compiler_and_not_by_the_formula():
    model = MODEL.clone(scan_layers=True, denoiser_layers=16, dropout=0.0)
    params, batch = arguments(model)
    step = jax.jit(gradient(objective(model), batch))
    compiled = step.lower(params).cost_analysis()["flops"]
    assert compiled < flops.training(objective(model), ROWS).model


def test_parts_add_up():
    counted = dataclasses.replace(
        flops.training(objective(MODEL), ROWS), recomputed=5.0, optimizer=7.0
    )
    assert counted.model == sum(counted.parts.values())
    assert counted.hardware == counted.model + 12.0
