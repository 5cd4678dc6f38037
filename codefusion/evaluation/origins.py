"""How the figures of a line came about, in one sentence for each data set."""

from codefusion.evaluation import seeds


def sentence(found):
    """Returns in one sentence how files of scores came about, str.

    Args:
      found: what `read_scores` returned, one for each seed, list of dicts that differ
        in seeds alone; under `run` each has (name, settings), of which settings may be
        "": then the sentence ends with what the config changes in the base.
    """
    header, scores = found[0]["header"], found[0]
    seen = [f"{100 * each['seen_in_training']['mean']:.1f} %" for each in found]
    confidence = f"{100 * scores['bootstrap']['confidence']:.0f} %"
    several = ", the mean of the seeds' ends; in parentheses the lowest and the highest"
    return (
        f"{header['dataset']}, {header['scheme']} {header['split']} split, "
        f"{scores['rows']:,} rows, {scores['quarantined']} quarantined, "
        f"{_listed(seen)} with a reference seen in training, "
        f"{header['truncated_utterances']:,} with an utterance cut to the model's "
        "length; "
        f"{header['sampler']}, {header['num_steps']} steps, "
        f"{_listed(each['candidates'] for each in found)} candidates, "
        f"{_seeds(found)}"
        f"checkpoint step {_of_headers(found, 'checkpoint_step')}, "
        f"commit {_of_headers(found, 'commit', 12)}, "
        f"data {header['data_hash'][:12]}, "
        f"tokenizer {_of_headers(found, 'tokenizer_hash', 12)}"
        f"{_hardware(found)}; "
        f"brackets: {confidence} bootstrap interval over rows, Wilson's where all are "
        f"0 or all 1{several if len(found) > 1 else ''}"
        f"{_settings(found)}."
    )


def _seeds(found):
    trained = [each["header"]["config"].get("seed", "unknown") for each in found]
    drawn = _of_headers(found, "seed")
    seeds = "seeds" if len(found) > 1 else "seed"
    return f"trained with {seeds} {_listed(trained)}, drawn with seed {drawn}, "


def _hardware(found):
    known = [each["header"].get("hardware") for each in found]
    names = [name for name in known if name]
    return f", on {_listed(names)}" if names else ""


def _settings(found):
    """Returns the settings, where the runs have not told them."""
    _, told = found[0]["run"]
    if told:
        return ""
    changes = _changes(found[0]["header"], is_pooled=len(found) > 1)
    return f"; config changes: {changes or 'none'}"


def _changes(header, *, is_pooled):
    """Returns what the config changes in the base; of several without their seeds."""
    lines = header["config_diff"].split("\n")
    own = tuple(f"{key}:" for key in seeds.KEYS)
    kept = [line for line in lines if not (is_pooled and line.startswith(own))]
    return "; ".join(kept).strip("; ")


def _of_headers(found, key, length=None):
    return _listed(str(each["header"][key])[:length] for each in found)


def _listed(values):
    """Returns distinct values with commas between, str."""
    return ", ".join(dict.fromkeys(map(str, values)))
