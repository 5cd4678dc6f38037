"""Configs: the base with every default, and sections turned into objects.

A config is `base()` plus differences. A section that holds a `name` chooses a class
from its package's table and holds that constructor's arguments, nothing else; every
other section is plain settings. `validate` checks what the base alone can tell,
`check` also what the tables tell.
"""

import json

import ml_collections

from codefusion import checks

_OPTIMIZER = dict(
    name="muon",
    learning_rate=4e-3,
    schedule="cosine",
    warmup_steps=40,
    final_fraction=0.05,
    weight_decay=0.01,
    b1=0.9,
    b2=0.98,
    clip_norm=1.0,
    momentum=0.9,
    newton_schulz_steps=3,
)

_DEFAULTS = dict(
    seed=0,
    data=dict(name="generated", source_length=36, target_length=22, size=100_000),
    # What a model reads: the request, perhaps behind the name of the language, and
    # programs of num_neighbors of the pool nearest training requests.
    source=dict(language_tag=False, num_neighbors=0, pool=4),
    tokenizer=dict(
        name="sentencepiece",
        vocab_size=1024,
        model_type="bpe",
        split_digits=True,
        separate_spaces=False,
        word_starts=True,
    ),
    model=dict(
        name="codefusion",
        width=96,
        embedding_width=32,
        num_heads=6,
        head_width=16,
        mlp_width=384,
        encoder_layers=2,
        denoiser_layers=3,
        decoder_layers=2,
        causal_decoder=False,  # writes from left to right by the denoiser's plan
        dropout=0.1,
        head=dict(name="copy"),
        self_conditioning=True,
        share_embedding=True,
        source_positions=True,
        alignment_rounds=2,
        scan_layers=False,
        remat=False,
        remat_policy="nothing",  # what a layer under remat keeps; or "dots"
        dtype="float32",
        attention="default",  # what computes it: the best on the platform
    ),
    sharding=dict(data=-1, fsdp=1, tensor=1),  # -1: the devices that are left
    diffusion=dict(
        embedding_scale=0.25,
        schedule=dict(name="sqrt"),
        times=dict(name="stratified", power=0.5),
        loss=dict(name="tokens"),
    ),
    pretraining=dict(
        encoder="",  # a T5 checkpoint's safetensors folder, to start the encoder from
        num_steps=0,
        batch_size=32,
        microbatches=1,
        corpora=(),
        mixture=(),
        cpd_weight=0.5,
        mask_rate=0.5,
        masked="spans",  # of code; or "run", one of ids anywhere, as GENIE does
        optimizer=_OPTIMIZER,
        ema_decay=0.999,
    ),
    training=dict(
        num_steps=1000,
        batch_size=32,
        microbatches=1,  # parts of a batch, one after the other, for less memory
        optimizer=_OPTIMIZER,
        ema_decay=0.999,
        mixture=(),
        context_dropout=0.0,  # of pre-training as well
        self_conditioning=0.5,  # of pre-training as well
        estimate_noise=0.0,  # on what self-conditioning sees, in embedding scales
        checkpoint_every=500,
        checkpoint_minutes=10.0,
        log_every=20,
        eval_every=0,
        max_to_keep=2,
        on_non_finite="stop",  # or "skip" the batch
        watchdog_minutes=30.0,  # without a step, until every thread's stack is written
        compile_budget=120.0,  # seconds; a run that needs more says so
    ),
    sampler=dict(name="ddim", num_steps=20, spacing="time", eta=0.0),
    inference=dict(
        num_candidates=5,
        num_draws=20,
        num_contexts=1,  # of source.pool, over which the draws are spread
        ranking=dict(name="covering"),
        prefer_valid=True,
        rounding=dict(name="decoder"),
        guidance=1.0,
        temperature=1.0,
        token_temperature=1.0,
        top_p=1.0,  # of the tokens that a causal decoder draws from
        num_beams=0,  # of each plan of a causal decoder; 0 draws tokens
        denoiser="scanned",  # or "resident": all steps in one TPU program
        num_repairs=100,  # other tokens tried where a draw does not parse
        batch_size=1,
    ),
    evaluation=dict(
        dataset="",  # another that the model was trained on; data.name without
        split="test",
        max_rows=0,
        metrics=("exact_match", "execution_match", "validity"),
        seed=0,
    ),
)


def base():
    """Returns a fresh config with every section and its defaults."""
    return _config_dict(checks.plain(_DEFAULTS))


def check_form(form, forms):
    """Raises ValueError where the argument of a config file is none of its forms."""
    if form not in forms:
        raise ValueError(f"the form is {form!r}; expected one of {', '.join(forms)}.")


def enlarge(config):
    """Sets what the `:large` forms share: the paper's sizes, bfloat16, longer runs."""
    config.model.update(width=512, num_heads=8, head_width=64, mlp_width=2048)
    config.model.update(encoder_layers=6, denoiser_layers=10, decoder_layers=6)
    config.model.update(embedding_width=64, dtype="bfloat16", scan_layers=True)
    config.diffusion.embedding_scale = 0.25
    for stage in (config.pretraining, config.training):
        # The base's are for runs of minutes.
        stage.optimizer.update(learning_rate=2e-3, warmup_steps=200)
        stage.optimizer.update(momentum=0.95, newton_schulz_steps=5)


def write_by_plan(config):
    """Makes the decoder write from left to right by the denoiser's plan.

    Where data are few, a program that is written all at once comes out broken, see
    docs/recipe.md. The number of layers stays: one of the denoiser's goes to the
    decoder. Repairs go, as they choose each token by itself.

    Args:
      config: a ConfigDict; it is changed.
    """
    model = config.model
    model.update(causal_decoder=True)
    model.denoiser_layers -= 1
    model.decoder_layers += 1
    config.inference.update(num_repairs=0, token_temperature=1.0, top_p=0.95)


def validate(config):
    """Returns a checked copy of a config, as far as the base alone can tell.

    Numbers and sequences come back in one form (a float where the default is a float,
    tuples for lists), so that equal settings are equal as JSON.

    Args:
      config: a ConfigDict or dict with the sections of `base()`.

    Returns:
      A new ConfigDict.
    """
    if not checks.is_section(config):
        raise ValueError(f"The config is {checks.show(config)}; expected a section.")
    known = tuple(checks.flatten(_DEFAULTS))
    checked = checks.check_known(checks.plain(config), _DEFAULTS, known=known)
    checks.check_ranges(checks.flatten(checked))
    return _config_dict(checked)


def check(config, tables):
    """Returns a checked copy of a config, with every choice held to its constructor.

    Args:
      config: a ConfigDict or dict with the sections of `base()`.
      tables: dotted path of a choosing section -> table of name to constructor, or
        (table, names of the arguments that the program itself supplies).

    Returns:
      A new ConfigDict.
    """
    checked = validate(config)
    for path, entry in tables.items():
        table, injected = entry if isinstance(entry, tuple) else (entry, ())
        parent, key = checks.find(checked, path)
        if parent is not None and key in parent:
            subsections = [
                p[len(path) + 1 :] for p in tables if p.startswith(path + ".")
            ]
            parent[key] = checks.check_section(
                table, parent[key], path, injected=injected, subsections=subsections
            )
    return checked


def check_key(key):
    """Raises ValueError where no config can hold the dotted key.

    Below a section that chooses, any key may be right: that is for `check` to say.
    """
    checks.check_key(key, _DEFAULTS)


def put(config, key, value):
    """Sets the value of a dotted key, in place.

    Args:
      config: a ConfigDict with the sections of `base()`.
      key: dotted; a new one may stand in a section that chooses.
      value: of the key; a dict is a whole section.

    Raises:
      ValueError: no config can hold the key, or this one has no such section.
    """
    check_key(key)
    section, last = checks.find(config, key)
    if section is None:
        raise ValueError(f"{key} is in no section of this config; set the section.")
    section[last] = value


def build(table, section, **injected):
    """Returns `table[name]` called with the rest of the section.

    Args:
      table: name -> constructor.
      section: a section with `name` and the constructor's arguments.
      **injected: further arguments; they win over those of the section, so that a
        subsection can be passed as the object already built from it.
    """
    arguments = checks.plain(section)
    checks.check_name(arguments, table, "the section")
    name = arguments.pop("name")
    return table[name](**{**arguments, **injected})


def diff(old, new):
    """Returns dotted key -> (old value, new value) where two configs differ.

    A key that one side lacks has the string "(absent)" there.
    """
    old, new = checks.flatten(old), checks.flatten(new)
    keys = sorted({*old, *new})
    pairs = {k: (old.get(k, "(absent)"), new.get(k, "(absent)")) for k in keys}
    return {k: (a, b) for k, (a, b) in pairs.items() if a != b}


def diff_text(old, new):
    """Returns `diff` as text, a line each: `key: old -> new`."""
    lines = [
        f"{k}: {checks.show(a)} -> {checks.show(b)}"
        for k, (a, b) in diff(old, new).items()
    ]
    return "".join(line + "\n" for line in lines)


def to_json(config):
    """Returns a config as JSON text with sorted keys."""
    return json.dumps(checks.plain(config), indent=2, sort_keys=True) + "\n"


def from_json(text):
    """Returns the ConfigDict that `to_json` wrote; lists become tuples."""
    values = checks.plain(json.loads(text))
    if not checks.is_section(values):
        raise ValueError(f"the text is {checks.show(values)}; expected an object")
    return _config_dict(values)


def _config_dict(values):
    # Not type-safe: `validate` reports every wrong type in one form.
    return ml_collections.ConfigDict(values, type_safe=False)
