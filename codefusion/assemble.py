"""The only place where a config becomes objects.

    config -> tokenizer, data sets, parts (model, process, objective pieces, sampler),
    stages of training.

Past this module no network, loss, sampler or training step reads a config; commands do,
and what answers requests: `inference` and `drawing`.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp

from codefusion import config as configs
from codefusion import consistency, diffusion, models, ranking, search, sharding
from codefusion.data import behaviour, datasets, neighbors, pipeline, syntax
from codefusion.data import tokenizer as tokenizers
from codefusion.training import loop, objectives, optimizers
from pallas_kernels import attention

# What parameters are drawn from; a training step folds in its number, from 0 on.
_NO_STEP = 2**32 - 1
_SAMPLERS = diffusion.SAMPLERS | search.SEARCHES
_MODEL_INPUTS = ("vocab_size", "max_source_length", "max_target_length")


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a config chooses, built.

    Attributes:
      model: the network.
      process: the forward process.
      times: draws diffusion times.
      loss: the training loss.
      sampler: a sampler step with its number of steps and spacing; of an
        autoregressive model, its search.
      ranking: orders the draws of one request.
      rounding: how the last estimate becomes tokens.
      is_valid: whether a text is a program of a language, (text, language) -> bool;
        where there is no parser of the language, every text is.
      classify: which texts do the same, (texts, language) -> a value for each.
    """

    model: models.CodeFusion | models.Autoregressive
    process: diffusion.GaussianProcess
    times: object
    loss: object
    sampler: object
    ranking: object
    rounding: object
    is_valid: object
    classify: object


def tables():
    """Returns what `config.check` holds each choosing section to."""
    return {
        "data": datasets.DATASETS,
        "tokenizer": (tokenizers.TOKENIZERS, ("texts",)),
        "model": (models.MODELS, _MODEL_INPUTS),
        "model.head": (models.HEADS, ("vocab_size", "dtype")),
        "diffusion.schedule": diffusion.SCHEDULES,
        "diffusion.times": diffusion.TIMES,
        "diffusion.loss": diffusion.LOSSES,
        "pretraining.optimizer": optimizers.OPTIMIZERS,
        "training.optimizer": optimizers.OPTIMIZERS,
        "sampler": _SAMPLERS,
        "inference.ranking": ranking.RANKINGS,
        "inference.rounding": diffusion.ROUNDINGS,
    }


def check(config):
    """Returns a checked copy of a config; raises ValueError on the first fault."""
    checked = configs.check(config, tables())
    consistency.check(checked)
    return checked


def dataset(config):
    """Returns the data set of a config."""
    return configs.build(datasets.DATASETS, config.data)


def evaluated(config):
    """Returns the data set that a config is evaluated on, with the splits of its own.

    Args:
      config: a checked config.
    """
    own, name = dataset(config), config.evaluation.dataset
    return datasets.beside(own, name) if name else own


def parts(config, vocab_size):
    """Returns the `Parts` of a checked config for a vocabulary of `vocab_size`.

    Raises:
      ValueError: this machine has no device for the attention of the config.
    """
    section = config.model
    serves = attention.platforms(section.attention)
    if serves and jax.default_backend() not in serves:
        raise ValueError(
            f"model.attention is {section.attention!r}, which needs a device of "
            f"{' or '.join(serves)}; this machine has {jax.default_backend()}. "
            "Expected 'default' or 'xla'."
        )
    model = configs.build(
        models.MODELS,
        section,
        vocab_size=vocab_size,
        max_source_length=consistency.source_length(config),
        max_target_length=config.data.target_length,
        head=models.HEADS[section.head.name],
        dtype=jnp.dtype(section.dtype),
        attention=None if section.attention == "default" else section.attention,
    )
    noise = config.diffusion
    process = diffusion.GaussianProcess(
        configs.build(diffusion.SCHEDULES, noise.schedule), noise.embedding_scale
    )
    return Parts(
        model=model,
        process=process,
        times=configs.build(diffusion.TIMES, noise.times),
        loss=configs.build(diffusion.LOSSES, noise.loss),
        sampler=configs.build(_SAMPLERS, config.sampler),
        ranking=configs.build(ranking.RANKINGS, config.inference.ranking),
        rounding=configs.build(diffusion.ROUNDINGS, config.inference.rounding),
        is_valid=is_valid,
        classify=behaviour.classes,
    )


def is_valid(text, language):
    """Returns whether a text parses; of a language without a parser, if it is text.

    Args:
      text: of a program.
      language: as in `datasets`, str.
    """
    if language in syntax.LANGUAGES:
        return syntax.is_valid(text, language)
    return syntax.is_text(text)


def mesh(config, devices=None):
    """Returns the `Mesh` of a config over devices; None for those of JAX."""
    return sharding.make_mesh(sharding.MeshShape(**config.sharding), devices)


def init_params(config, model):
    """Returns freshly drawn parameters, a tree of float32 arrays."""
    source = jnp.zeros((1, consistency.source_length(config)), jnp.int32)
    target = jnp.zeros((1, config.data.target_length), jnp.int32)
    mask = jnp.ones(source.shape, bool)
    key = jax.random.fold_in(jax.random.key(config.seed), _NO_STEP)
    return jax.jit(model.init)(key, source, mask, target)["params"]


def train_tokenizer(config):
    """Returns a tokenizer trained on the training text of every stage."""
    return configs.build(
        tokenizers.TOKENIZERS, config.tokenizer, texts=list(_training_texts(config))
    )


def _training_texts(config):
    main = dataset(config)
    pairs = [main, *(datasets.beside(main, name) for name in _mixed(config, main))]
    for source in pairs:
        for example in source.examples("train"):
            yield request(config, example.utterance, source.language)
            yield example.code
    for corpus in corpora(config):
        yield from dict.fromkeys(e.code for e in corpus.examples("train"))


def request(config, utterance, language=None):
    """Returns an utterance as the model reads it, str.

    Args:
      config: a checked config.
      utterance: str.
      language: of the program that is wanted; None for that of the data set.
    """
    if not config.source.language_tag:
        return utterance
    language = language or dataset(config).language
    return f"{language}: {utterance}"


def languages(config):
    """Returns the languages of the programs that a config trains on, list[str]."""
    main = dataset(config)
    others = [datasets.DATASETS[name].language for name in _mixed(config, main)]
    return list(dict.fromkeys([main.language, *others]))


def retrieval(config, index=None):
    """Returns the `neighbors.Retrieval` of a config, None where it has none.

    Args:
      config: a checked config.
      index: the `neighbors.Neighbors`; None for the data set's train split.
    """
    section = config.source
    if not section.num_neighbors:
        return None
    if index is None:
        index = neighbors.Neighbors.of(dataset(config).examples("train"))
    return neighbors.Retrieval(index, section.num_neighbors, section.pool)


def stages(config, tokenizer, built, mesh=None, retrieved=None):
    """Returns the training stages in order: pre-training if asked for, fine-tuning.

    Args:
      config: a checked config.
      tokenizer: the tokenizer of the run.
      built: its `Parts`.
      retrieved: its `neighbors.Retrieval`; None where it has none.
      mesh: the `Mesh` whose devices share the batches; None where there is one.
    """
    encode = _Encoding(config, tokenizer, retrieved)
    found = []
    if config.pretraining.num_steps:
        rows = _pretraining_rows(config, encode)
        found.append(_stage(config, "pretraining", rows, built))
    found.append(_stage(config, "training", _training_rows(config, encode), built))
    if mesh is None:
        return found
    return [_shared(stage, mesh) for stage in found]


def _shared(stage, mesh):
    """Returns a stage that reads the rows of this process alone."""
    rows = sharding.local_rows(mesh, stage.batches.batch_size)
    batches = dataclasses.replace(stage.batches, rows=rows)
    return dataclasses.replace(stage, batches=batches)


def objective(config, name, built):
    """Returns the loss of a stage, `(params, batch, key) -> (loss, parts)`.

    Args:
      config: a checked config.
      name: "pretraining" or "training".
      built: its `Parts`.
    """
    if consistency.is_autoregressive(config):
        return objectives.Likelihood(built.model)
    return objectives.Objective(
        model=built.model,
        process=built.process,
        times=built.times,
        loss=built.loss,
        context_dropout=config.training.context_dropout,
        self_conditioning=config.training.self_conditioning,
        estimate_noise=config.training.estimate_noise,
        has_code_rows=name == "pretraining" and bool(config[name].corpora),
    )


def optimizer(config, name):
    """Returns the `Optimizer` of a stage, "pretraining" or "training"."""
    section = config[name]
    chosen = configs.build(optimizers.OPTIMIZERS, section.optimizer)
    return chosen.build(section.num_steps)


def _stage(config, name, rows, built):
    section = config[name]
    names, sources, weights = zip(*rows, strict=True)
    return loop.Stage(
        name=name,
        loss_fn=objective(config, name, built),
        optimizer=optimizer(config, name),
        batches=pipeline.mix(
            sources, weights, seed=config.seed, batch_size=section.batch_size
        ),
        num_steps=section.num_steps,
        ema_decay=section.ema_decay,
        microbatches=section.microbatches,
        left_out={
            data_set: (source.num_dropped, source.num_dropped + len(source))
            for data_set, source in zip(names, sources, strict=True)
            if source.num_dropped
        },
    )


def _training_rows(config, encode):
    """Yields (name, rows, weight): the data set, and what the mixture adds to it."""
    main = dataset(config)
    share = 1 - consistency.sum_of_shares(config.training)
    yield main.name, encode.pairs(main), share
    for name, share in config.training.mixture:
        yield name, encode.pairs(datasets.beside(main, name)), share


def _pretraining_rows(config, encode):
    """Yields (name, rows, weight): corpora by size, then pairs by their share."""
    section = config.pretraining
    snippets = {corpus.name: encode.code(corpus) for corpus in corpora(config)}
    size = sum(len(rows) for rows in snippets.values())
    for name, rows in snippets.items():
        yield name, rows, (1 - consistency.sum_of_shares(section)) * len(rows) / size
    for name, share in section.mixture:
        yield name, encode.pairs(datasets.beside(dataset(config), name)), share


@dataclasses.dataclass(frozen=True)
class _Encoding:
    """How the data of a config become rows.

    Attributes:
      config: a checked config.
      tokenizer: the tokenizer of the run.
      retrieved: its `neighbors.Retrieval`, or None.
    """

    config: object
    tokenizer: object
    retrieved: object

    @property
    def request_lengths(self):
        data = self.config.data
        return dict(source_length=data.source_length, target_length=data.target_length)

    @property
    def lengths(self):
        whole = consistency.source_length(self.config)
        return self.request_lengths | dict(source_length=whole)

    def pairs(self, source):
        """Returns the `PairRows` of a data set's train split."""
        found = pipeline.encode_pairs(
            map(self._read, source.examples("train"), itertools.repeat(source)),
            self.tokenizer,
            **self.request_lengths,
            retrieval=self.retrieved,
        )
        return pipeline.PairRows(found, **self.lengths)

    def _read(self, example, source):
        utterance = request(self.config, example.utterance, source.language)
        return dataclasses.replace(example, utterance=utterance)

    def code(self, corpus):
        """Returns the `CodeRows` of a corpus."""
        code = pipeline.encode_code(
            corpus.examples("train"),
            self.tokenizer,
            language=corpus.language,
            **self.request_lengths,
        )
        section = self.config.pretraining
        rates = {key: section[key] for key in ("cpd_weight", "mask_rate", "masked")}
        return pipeline.CodeRows(code, **self.lengths, **rates)


def beside(config, main):
    """Returns the data sets that a run trains on beside its own: pairs, then corpora.

    Args:
      config: a config with the sections of `config.base()`.
      main: the data set of the run, built.
    """
    names = _mixed(config, main)
    if config.pretraining.num_steps:
        names += config.pretraining.corpora
    return [datasets.beside(main, name) for name in dict.fromkeys(names)]


def _mixed(config, main):
    """Returns the names of the pairs that the stages mix in, without the run's own."""
    earlier = config.pretraining.mixture if config.pretraining.num_steps else ()
    names = [name for name, _ in (*config.training.mixture, *earlier)]
    return [name for name in dict.fromkeys(names) if name != main.name]


def corpora(config):
    """Returns the corpora of pre-training, less what the data set holds out."""
    wanted = config.pretraining.corpora if config.pretraining.num_steps else ()
    return [datasets.beside(dataset(config), name) for name in wanted]
