"""`codefusion data`: prepares and verifies the data of a config, and describes it."""

import json
import os

from absl import flags

from codefusion import assemble
from codefusion import config as configs
from codefusion.commands import options
from codefusion.data import report
from codefusion.data.tokenizer import Tokenizer


def define(flag_values):
    """Adds the command's flags."""
    options.define_data_dir(flag_values)
    flags.DEFINE_boolean("json", False, "Print JSON lines.", flag_values=flag_values)


def run(call):
    """Prints what the data set of a config holds, then each that is trained on too."""
    if call.config is None:
        raise ValueError("data needs --config=FILE, or --workdir=DIR of a trained one.")
    chosen = configs.validate(call.config)
    options.set_data_dir(chosen, call.flags)
    chosen = assemble.check(chosen)
    main = assemble.dataset(chosen)
    others = assemble.beside(chosen, main)
    tokenizer = load_tokenizer(call.flags.workdir)
    first = report.describe(main, tokenizer=tokenizer, others=others)
    rest = (report.describe(other, tokenizer=tokenizer) for other in others)
    for facts in (first, *rest):
        print(json.dumps(facts) if call.flags.json else report.render(facts))


def load_tokenizer(workdir):
    """Returns the tokenizer of a work directory, None where there is none."""
    path = os.path.join(workdir, "tokenizer.model") if workdir else ""
    return Tokenizer.load(path) if os.path.isfile(path) else None
