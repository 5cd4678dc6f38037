"""The model card of an export: data, parameters, scores, limits, how to train it again.

Everything on it is read from the work directory; what is not known is said to be so.
"""

import hashlib
import json
import pathlib

import codefusion
from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import evaluate
from codefusion.evaluation import score
from codefusion.markdown import table
from codefusion.models import exported

# Data that is ours; the terms of all other data are in NOTICE.
_OWN_DATA = {"generated"}
_NOT_STATED = "microsoft/prose-benchmarks, folder CodeFusion: no license is stated"
# Whose a data set is, and under what license.
_OWNERS = {
    "bash_corpus": _NOT_STATED,
    "cf_corpus": _NOT_STATED,
    "cf_rules": _NOT_STATED,
    "conala": "CoNaLa (Yin et al., MSR 2018), from Stack Overflow: CC BY-SA 4.0",
    "custom": "a file of those who trained the model, who know its license",
    "nl2bash": "NL2Bash (Lin et al., LREC 2018): MIT",
    "python_corpus": "CoNaLa, Django, Python API documentation and MBPP, see NOTICE",
    "python_docs": "Django pseudo-code (Oda et al., ASE 2015), MIT-style, of Django's "
    "code, BSD-3-Clause; Python API documentation pairs (Xu et al., ACL 2020), "
    "Apache-2.0, of the Python documentation, PSF License; MBPP (Austin et al., 2021), "
    "CC BY 4.0",
    "tldr": "tldr-pages, the tldr-pages team and contributors: CC BY 4.0",
}


def text(workdir, out, config, tokenizer, params, extra):
    """Returns the card as Markdown that begins with its metadata.

    Args:
      workdir: the folder that training wrote, for its scores.
      out: the folder of the export with all its other files, a pathlib.Path.
      config: the run's config.
      tokenizer: its `Tokenizer`.
      params: the exported parameters, a tree of arrays.
      extra: what the checkpoint holds beside its state, with `step`.
    """
    names = sources(config) if config.source.language_tag else [config.data.name]
    sections = [
        _metadata(config),
        f"# codefusion, {' + '.join(names)}, step {extra['step']}",
        _summary(config),
        _use(config),
        _training(config, tokenizer, extra),
        _parameters(params),
        _scores(workdir, extra["step"], _dtypes(params)),
        _limits(config),
        _license(config),
        _again(config),
        _files(out),
    ]
    return "\n\n".join(sections) + "\n"


def sources(config):
    """Returns the names of the data sets a run is trained on, sorted.

    Args:
      config: a checked config.
    """
    names = {config.data.name, *(name for name, _ in config.training.mixture)}
    if config.pretraining.num_steps:
        names.update(config.pretraining.corpora)
        names.update(name for name, _ in config.pretraining.mixture)
    return sorted(names)


def _metadata(config):
    license_ = "apache-2.0" if set(sources(config)) <= _OWN_DATA else "other"
    lines = [
        f"license: {license_}",
        "library_name: codefusion",
        "pipeline_tag: text-generation",
        "tags: [code-generation, diffusion, jax]",
    ]
    return "\n".join(["---", *lines, "---"])


def _summary(config):
    text = "From a request in plain language to code, by continuous diffusion: "
    if config.model.get("causal_decoder"):
        return text + (
            "all positions of a plan are denoised at once, and a decoder writes the "
            "program by it from left to right."
        )
    return text + "all positions of the program are denoised at once."


def _use(config):
    known = assemble.languages(config)
    several = f", language={known[-1]!r}" if len(known) > 1 else ""
    told = f" It writes {', '.join(known)}; {known[0]} where none is named."
    return f"""\
## Use

```python
import codefusion

model = codefusion.load(".")  # this folder
answers = model.generate(["what the program should do"], num_candidates=5{several})
print(answers[0][0].text)
```

`codefusion sample` and `codefusion evaluate` read it with `--workdir=.` too.\
{told if several else ""}"""


def _training(config, tokenizer, extra):
    identity = extra.get("identity", {})
    hashes = {
        key: json.loads(identity[key]) for key in sorted(identity) if "hash" in key
    }
    scheme = config.data.get("scheme", "its own")
    rows = [
        ("data", ", ".join(sources(config))),
        ("split", f"the training rows of {config.data.name}, scheme: {scheme}"),
        (
            "steps",
            f"{config.pretraining.num_steps} of pre-training, then "
            f"{config.training.num_steps} in batches of {config.training.batch_size}",
        ),
        ("seed", config.seed),
        (
            "exported",
            f"the moving average of the parameters after step {extra['step']}",
        ),
        ("seconds of training", _number(extra.get("train_seconds"))),
        ("pieces of the tokenizer", f"{tokenizer.vocab_size:,}"),
        *(
            (f"SHA-256, {key.removesuffix(' hash')}", value or "unknown")
            for key, value in hashes.items()
        ),
    ]
    return "## Training\n\n" + table(("what", "value"), rows)


def _parameters(params):
    parts = {}
    for name, leaf in exported.named(params).items():
        part = name.split(".")[0]
        parts[part] = parts.get(part, 0) + leaf.size
    rows = [(part, f"{size:,}") for part, size in sorted(parts.items())]
    rows.append(("**all**", f"**{sum(parts.values()):,}**"))
    return (
        "## Parameters\n\n" + table(("part", "numbers"), rows) + "\n\nEvery number of "
        f"`{exported.FILE}` ({_dtypes(params)}) is counted once, embeddings and heads "
        "included; what the optimizer keeps is not in the file."
    )


def _dtypes(params):
    leaves = exported.named(params).values()
    return ", ".join(sorted({str(leaf.dtype) for leaf in leaves}))


def _scores(workdir, step, dtypes):
    found = [
        _score_rows(score.read_scores(path))
        for path in sorted(pathlib.Path(workdir, "scores").glob("*.json"))
    ]
    rows = [
        row
        for header, rows in found
        if header["checkpoint_step"] == step
        for row in rows
    ]
    if not rows:
        return (
            "## Scores\n\nThis step was not evaluated. `codefusion evaluate "
            "--workdir=.` does that."
        )
    columns = ("data", "rows", "sampler", "metric")
    columns += ("top-1, %", "best of all, %", "seen")
    rounded = f" Scored before the numbers were rounded to {dtypes}."
    return (
        "## Scores\n\n" + table(columns, rows) + "\n\nIn brackets the 95 % bootstrap "
        "interval over rows, Wilson's where all are 0 or all 1; `seen` is how many % "
        "of the references occur in anything it was trained on."
        + (rounded if dtypes != "float32" else "")
    )


def _score_rows(scores):
    """Returns (header, rows of the table) of a scores file."""
    head = scores["header"]
    data = f"{head['dataset']} {head['split']} ({head['scheme']})"
    sampler = f"{head['sampler']}, {head['num_steps']} steps"
    seen = evaluate.interval(scores["seen_in_training"], scale=100)
    return head, [
        (data, scores["rows"], sampler, name, *_ends(tops), seen)
        for name, tops in sorted(scores["metrics"].items())
    ]


def _ends(tops):
    """Returns the first and the widest of the top-k scores, as text."""
    names = sorted(tops, key=lambda name: int(name.removeprefix("top")))
    first, last = (evaluate.interval(tops[n], scale=100) for n in (names[0], names[-1]))
    return first, f"{last} of {names[-1].removeprefix('top')}"


def _limits(config):
    return f"""\
## Limits

- It knows requests and programs like those of its data, and nothing else.
- It reads at most {config.data.source_length} pieces of a request and writes at most \
{config.data.target_length}.
- A program that parses may still be wrong: read it before you run it, and run nothing \
unread where it can do harm.
- It was not tested for what it does with requests meant to mislead it."""


def _license(config):
    foreign = [name for name in sources(config) if name not in _OWN_DATA]
    if not foreign:
        return "## License\n\nApache-2.0; the data were written by codefusion itself."
    rows = [(name, _OWNERS[name]) for name in foreign]
    return (
        "## License\n\n" + table(("data", "of"), rows) + "\n\nThe terms are their "
        "owners'; `NOTICE` of codefusion says where each was read. Read them before "
        "you publish this model."
    )


def _again(config):
    changes = configs.diff_text(configs.base(), config).strip()
    return f"""\
## Train it again

With codefusion {codefusion.__version__}, commit {evaluate.commit()} at export:

```sh
codefusion train --config=config.py --workdir=again
codefusion evaluate --workdir=again
```

What differs from the base config:

```
{changes}
```"""


def _files(out):
    rows = [
        (path.name, f"{path.stat().st_size:,}", _sha256(path))
        for path in sorted(out.iterdir())
        if path.name != "README.md"
    ]
    return "## Files\n\n" + table(("file", "bytes", "SHA-256"), rows)


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(value):
    return "unknown" if value is None else f"{value:,.0f}"
