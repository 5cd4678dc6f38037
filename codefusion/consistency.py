"""What holds between the sections of a config, beyond what each holds by itself."""

import math

from codefusion import config as configs
from codefusion import diffusion, search, sharding
from codefusion.data import datasets
from codefusion.data.custom import Custom
from codefusion.training import optimizers


def check(config):
    """Raises ValueError on the first fault between sections.

    Args:
      config: a ConfigDict whose sections are checked.
    """
    for key in ("pretraining.corpora", "pretraining.mixture", "training.mixture"):
        _check_names(config, key)
    _check_optimizers(config)
    _check_microbatches(config)
    sharding.MeshShape(**config.sharding)
    _check_shares(config)
    _check_sampler(config)
    _check_conditioning(config)
    _check_resident(config)
    _check_causal(config)
    _check_beams(config)
    _check_retrieval(config)
    draws, kept = config.inference.num_draws, config.inference.num_candidates
    if draws < kept:
        raise ValueError(
            f"inference.num_draws is {draws}; expected at least "
            f"inference.num_candidates, {kept}."
        )


def _check_names(config, key):
    section, name = key.split(".")
    table = datasets.CORPORA if name == "corpora" else datasets.DATASETS
    for entry in config[section][name]:
        chosen = entry if isinstance(entry, str) else entry[0]
        # A file of one's own is named by the data section alone.
        known = sorted({*table} - {Custom.name} | {config.data.name} & {*table})
        if chosen not in known:
            raise ValueError(
                f"{key} names {chosen!r}; expected one of {', '.join(known)}."
            )


def _check_optimizers(config):
    for stage in ("pretraining", "training"):
        try:
            configs.build(optimizers.OPTIMIZERS, config[stage].optimizer)
        except ValueError as error:
            raise ValueError(f"{stage}.{error}") from error


def _check_microbatches(config):
    for stage in ("pretraining", "training"):
        rows, parts = config[stage].batch_size, config[stage].microbatches
        if rows % parts:
            raise ValueError(
                f"{stage}.microbatches is {parts}; expected a divisor of "
                f"{stage}.batch_size, {rows}."
            )


def source_length(config):
    """Returns S of a config: a request, and behind it the programs of neighbours."""
    data = config.data
    return data.source_length + config.source.num_neighbors * data.target_length


def _check_retrieval(config):
    """Raises ValueError where contexts are asked for that there are not."""
    source, asked = config.source, config.inference.num_contexts
    if source.pool < source.num_neighbors:
        raise ValueError(
            f"source.pool is {source.pool}; expected at least "
            f"source.num_neighbors, {source.num_neighbors}."
        )
    known = math.comb(source.pool, source.num_neighbors)
    if not source.num_neighbors and asked > 1:
        raise ValueError(
            f"inference.num_contexts is {asked}, but source.num_neighbors is 0, so "
            "that a request has one context; expected 1."
        )
    if asked > known:
        raise ValueError(
            f"inference.num_contexts is {asked}; expected at most {known}, the ways to "
            f"take {source.num_neighbors} (source.num_neighbors) of "
            f"{source.pool} (source.pool)."
        )


def is_autoregressive(config):
    """Returns whether a config's model writes from left to right."""
    return config.model.name == "autoregressive"


def _check_sampler(config):
    """Raises ValueError where a model is asked for what only the other kind has."""
    known = search.SEARCHES if is_autoregressive(config) else diffusion.SAMPLERS
    if config.sampler.name not in known:
        raise ValueError(
            f"sampler.name is {config.sampler.name!r}, but model.name is "
            f"{config.model.name!r}; expected one of {', '.join(known)}."
        )
    if not is_autoregressive(config):
        return
    needed = {
        "inference.num_repairs": (config.inference.num_repairs, 0),
        "inference.temperature": (config.inference.temperature, 1.0),
        "inference.denoiser": (config.inference.denoiser, "scanned"),
        "inference.rounding.name": (config.inference.rounding.name, "decoder"),
        "training.context_dropout": (config.training.context_dropout, 0.0),
    }
    for key, (found, expected) in needed.items():
        if found != expected:
            raise ValueError(
                f"{key} is {found!r}, but model.name is 'autoregressive', which has no "
                f"such thing; expected {expected!r}."
            )


def _check_conditioning(config):
    rate = config.training.self_conditioning
    if rate and not config.model.get("self_conditioning"):
        raise ValueError(
            f"training.self_conditioning is {rate}, but the model has no "
            "model.self_conditioning; expected 0."
        )
    noise = config.training.estimate_noise
    if noise and not rate:
        raise ValueError(
            f"training.estimate_noise is {noise}, but training.self_conditioning is 0, "
            "so that there is no estimate; expected 0."
        )
    check_guidance(config.inference.guidance, config)


def _check_resident(config):
    """Raises ValueError where one program of all steps is asked for what it lacks."""
    needed = {
        "model.alignment_rounds": (config.model.get("alignment_rounds"), 0),
        "sampler.name": (config.sampler.name, "ddim"),
        "sampler.eta": (config.sampler.get("eta"), 0.0),
        "inference.rounding.name": (config.inference.rounding.name, "decoder"),
    }
    if config.inference.denoiser != "resident":
        return
    for key, (found, expected) in needed.items():
        if found != expected:
            raise ValueError(
                f"inference.denoiser is 'resident', but {key} is {found!r}; expected "
                f"{'a model trained with ' if key[0] == 'm' else ''}{expected!r}, or "
                "inference.denoiser 'scanned'."
            )


def _check_causal(config):
    """Raises ValueError where a causal decoder is asked for what it lacks."""
    if not config.model.get("causal_decoder"):
        return
    if not config.model.decoder_layers:
        raise ValueError(
            "model.causal_decoder is True, but model.decoder_layers is 0; expected at "
            "least 1."
        )
    needed = {
        "inference.num_repairs": (config.inference.num_repairs, 0),
        "inference.rounding.name": (config.inference.rounding.name, "decoder"),
    }
    for key, (found, expected) in needed.items():
        if found != expected:
            raise ValueError(
                f"{key} is {found!r}, but model.causal_decoder is True, which has no "
                f"such thing; expected {expected!r}."
            )


def _check_beams(config):
    """Raises ValueError where beams are asked for and nothing keeps them."""
    beams = config.inference.num_beams
    if beams and not config.model.get("causal_decoder"):
        raise ValueError(
            f"inference.num_beams is {beams}, but no decoder writes from left to right "
            "by a plan; expected 0, or a model trained with model.causal_decoder."
        )


def check_guidance(guidance, config):
    """Raises ValueError where guidance is negative, or needs what is not trained."""
    if guidance < 0:
        raise ValueError(f"inference.guidance is {guidance}; expected at least 0.")
    if guidance != 1 and config.inference.denoiser == "resident":
        raise ValueError(
            f"inference.guidance is {guidance}, but inference.denoiser is 'resident'; "
            "expected 1, or inference.denoiser 'scanned'."
        )
    if guidance != 1 and not config.training.context_dropout:
        raise ValueError(
            f"inference.guidance is {guidance}, but training.context_dropout is 0, so "
            "that no row is trained without its context; expected 1."
        )


def _check_shares(config):
    _check_languages(config)
    _check_evaluated(config)
    section = config.pretraining
    if section.num_steps and not section.corpora and not section.mixture:
        raise ValueError(
            f"pretraining.num_steps is {section.num_steps}, but there is nothing to "
            "read; expected pretraining.corpora or pretraining.mixture, or 0 steps."
        )
    beside_others = {"training": True, "pretraining": bool(section.corpora)}
    for name, has_others in beside_others.items():
        total = sum_of_shares(config[name])
        if has_others and total >= 1:
            raise ValueError(
                f"{name}.mixture adds up to {total}; expected shares below 1 in all, "
                "as the rest is for the other data."
            )


def _check_languages(config):
    """Raises ValueError where pairs of another language are mixed in."""
    table = datasets.DATASETS
    if config.source.language_tag:
        return
    main = configs.build(table, config.data)
    language = main.language
    for section in ("pretraining", "training"):
        for name, _ in config[section].mixture:
            if name != main.name and table[name].language != language:
                known = sorted(n for n, d in table.items() if d.language == language)
                raise ValueError(
                    f"{section}.mixture names {name!r}, whose programs are "
                    f"{table[name].language}, but those of data.name, "
                    f"{config.data.name!r}, are {language}; expected one of "
                    f"{', '.join(known)}, or source.language_tag."
                )


def _check_evaluated(config):
    """Raises ValueError where the data set to evaluate on is none that it writes."""
    name, known = config.evaluation.dataset, [config.data.name]
    known += [name for name, _ in config.training.mixture]
    if name and name not in known:
        raise ValueError(
            f"evaluation.dataset is {name!r}; expected one that the model is trained "
            f"on: {', '.join(dict.fromkeys(known))}."
        )


def sum_of_shares(section):
    """Returns the shares of a stage's mixture, added up; a float."""
    return sum(share for _, share in section.mixture)
