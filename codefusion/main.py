"""Flags and dispatch: `codefusion COMMAND --config=FILE[:arg] --workdir=DIR ...`.

The exit code is 0, or 1 with the reason on standard error; a trace only with --debug.
"""

import difflib
import glob
import importlib
import importlib.util
import logging
import os
import pathlib
import signal
import sys
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from codefusion import config, shipped
from codefusion.commands import allocator

COMMANDS = {
    "train": "tokenizer, pre-training and fine-tuning; run again, it resumes",
    "sample": "writes candidates for utterances, given as arguments or stdin lines",
    "evaluate": "writes predictions and scores of a split",
    "table": "trains and evaluates every row of a table that lacks it, and renders it",
    "plot": "draws the curves of a run as one page and as pictures",
    "export": "writes a trained model as safetensors with a model card, and checks it",
    "data": "prepares, verifies and describes the data of a config",
    "plan": "compiles a config for TPUs or GPUs without one: memory, FLOPs, time",
    "doctor": "shows what is installed and the command that mends what is wrong",
}

_GOOGLE = "0x1ae0"  # the PCI vendor of TPUs


class _Lines(logging.Handler):
    """Shows a warning as an error is shown: in one line on standard error."""

    def emit(self, record):
        print(f"codefusion: {self.format(record)}", file=sys.stderr, flush=True)


class Call(NamedTuple):
    """One command as the user gave it.

    Attributes:
      config: the ConfigDict of --config with its overrides; without --config that of
        the work directory; None where there is neither.
      config_file: the value of --config, or None.
      overrides: dotted keys that the command line sets.
      flags: the command's own flags, absl FlagValues.
      words: what is neither a flag nor the command.
    """

    config: Any
    config_file: str | None
    overrides: tuple[str, ...]
    flags: flags.FlagValues
    words: tuple[str, ...]


def run():
    """Runs the command line of this process and exits."""
    # Until the training loop takes them over, both signals end a command alike.
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _interrupt)
    allocator.keep_freed_memory()
    _show_warnings()
    _pass_over_libtpu(os.environ)
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:  # a second Ctrl-C while training
        _interrupt()


def _show_warnings():
    package = logging.getLogger("codefusion")
    package.addHandler(_Lines())
    package.propagate = False  # or the root's handler shows it once more


def _pass_over_libtpu(environ):
    """Leaves libtpu to `plan` where there is no TPU: JAX would try it, with warnings.

    Args:
      environ: changed, before JAX is imported; a user's JAX_PLATFORMS stays.
    """
    found = importlib.util.find_spec
    is_told = any(name.startswith("TPU_") for name in environ)
    # Another plugin may be a GPU's, and would be left out too.
    if found("libtpu") and not found("jax_plugins") and not (is_told or _has_tpu()):
        environ.setdefault("JAX_PLATFORMS", "cpu")


def _has_tpu():
    """Returns whether this machine may have TPU chips."""
    vendors = pathlib.Path("/sys/bus/pci/devices").glob("*/vendor")
    nodes = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(nodes) or any(v.read_text().strip() == _GOOGLE for v in vendors)


def _interrupt(*_):
    """Ends the process at once.

    An exception would be lost where a library calls back from C, and an orderly end of
    Python would crash with a compiler at work in another thread.
    """
    os.write(2, b"codefusion: interrupted.\n")
    os._exit(1)


def main(argv):
    """Returns the exit code of `argv`; the first word is the program's name."""
    debug = "--debug" in argv
    try:
        return _dispatch([word for word in argv if word != "--debug"]) or 0
    except BrokenPipeError:
        # The reader went away (`| head`); the flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        print(f"codefusion: {_reason(error)}", file=sys.stderr)
        return 1


def parse(name, words):
    """Returns the Call of a command's arguments.

    Args:
      name: a key of `COMMANDS`.
      words: the arguments after the command, list of str.
    """
    own = flags.FlagValues()
    default = str(shipped.FOLDER) if name == "sample" else None
    flags.DEFINE_string("workdir", default, "Work directory.", flag_values=own)
    _module(name).define(own)
    rest = _parse_known(own, [name, *words])
    config_file, overrides = _config_words(rest)
    holder = flags.FlagValues()
    for key in overrides:
        config.check_key(key)
    if config_file is not None:
        _check_config_file(config_file)
        _define_config(holder, config_flags.DEFINE_config_file, None, rest)
    elif (saved := _saved_config(own.workdir)) is not None:
        _define_config(holder, config_flags.DEFINE_config_dict, saved, rest)
    elif overrides:
        raise ValueError(f"--config.{overrides[0]} needs --config=FILE before it.")
    positional = _parse_config(holder, rest, own)
    chosen = holder.config if "config" in holder else None
    return Call(chosen, config_file, overrides, own, tuple(positional))


def _dispatch(argv):
    if len(argv) < 2 or argv[1] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    name, words = argv[1], argv[2:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}" if near else ""
        raise ValueError(
            f"{name!r} is not a command; expected one of {', '.join(COMMANDS)}{hint}."
        )
    if {"-h", "--help"} & set(words):
        print(_command_usage(name))
        return 0
    flags.FLAGS(argv[:1])  # libraries that define absl flags want them parsed
    return _module(name).run(parse(name, words))


def _module(name):
    return importlib.import_module(f"codefusion.commands.{name}")


def _usage():
    rows = [f"  {name:9} {text}" for name, text in COMMANDS.items()]
    form = "codefusion COMMAND --config=FILE[:arg] --workdir=DIR [--config.key=value]"
    return "\n".join([f"usage: {form}", "", *rows, "", "codefusion COMMAND --help"])


def _command_usage(name):
    own = flags.FlagValues()
    _module(name).define(own)
    rows = [f"  --{flag}: {own[flag].help}" for flag in sorted(own)]
    common = [
        "  --config: config file, FILE[:arg]; --config.section.key=value changes it.",
        "  --workdir: work directory.",
        "  --debug: show the trace of an error.",
    ]
    return "\n".join([f"codefusion {name}: {COMMANDS[name]}", "", *rows, *common])


def _parse_known(own, argv):
    """Returns the words that are not flags of `own`, which it parses."""
    try:
        return own(argv, known_only=True)[1:]
    except flags.Error as error:
        raise ValueError(_value_reason(_one_line(error))) from error


def _config_words(words):
    """Returns the config file and the overridden keys among the words."""
    config_file = None
    for index, word in enumerate(words):
        if word in ("--config", "-config"):
            config_file = "".join(words[index + 1 : index + 2])
        elif word.startswith(("--config=", "-config=")):
            config_file = word.partition("=")[2]
    overrides = [
        word.partition("=")[0].partition(".")[2]
        for word in words
        if word.startswith(("--config.", "-config.", "--noconfig.", "-noconfig."))
    ]
    return config_file, tuple(overrides)


def _check_config_file(config_file):
    path = config_file.partition(":")[0]
    if not os.path.isfile(path):
        raise ValueError(f"--config is {path!r}, which is not a file.")


def _define_config(holder, define, default, words):
    define(
        "config",
        default,
        lock_config=False,
        accept_new_attributes=True,
        flag_values=holder,
        sys_argv=["codefusion", *words],
    )


def _saved_config(workdir):
    path = pathlib.Path(workdir, "config.json") if workdir else None
    if path is None or not path.is_file():
        return None
    from codefusion import workdirs  # with JAX, which not every command needs

    return workdirs.read_config(path)


def _parse_config(holder, words, own):
    """Returns the positional words; `holder` parses those of the config."""
    try:
        return holder(["codefusion", *words])[1:]
    except flags.UnrecognizedFlagError as error:
        hint = _flag_hint(error.flagname, words, own)
        raise ValueError(f"--{error.flagname} is not a flag{hint}.") from error
    except flags.Error as error:
        raise ValueError(_override_reason(error)) from error
    except (AttributeError, NameError, TypeError, ImportError, KeyError) as error:
        kind = type(error).__name__
        raise ValueError(f"--config fails: {kind}: {_one_line(error)}.") from error


def _flag_hint(name, words, own):
    """Returns which flag was meant by one that there is not, "" if none is like it."""
    try:
        config.check_key(name)
    except ValueError:
        near = difflib.get_close_matches(name, [*own, "config"], n=1)
    else:  # a key of the config without its prefix; with its value, to be copied
        bare = [word.lstrip("-") for word in words]
        near = [f"config.{w}" for w in bare if w.partition("=")[0] == name][:1]
    return f"; did you mean --{near[0]}" if near else ""


def _override_reason(error):
    """Returns absl's complaint about an override in the form of the config's own."""
    if "Traceback (most recent call last)" in str(error):  # of a config file
        kind, _, reason = str(error).strip().splitlines()[-1].partition(": ")
        return f"--config fails: {_config_fault(kind, reason)}"
    return _value_reason(_one_line(error).replace("flag --config.", "flag ", 1))


def _value_reason(text):
    """Returns "KEY is VALUE; reason." for absl's "flag KEY=VALUE: reason"."""
    setting, _, reason = text.removeprefix("flag ").partition(": ")
    key, _, value = setting.partition("=")
    for opening, expected in _PARSER_REASONS.items():
        if reason.startswith(opening):
            reason = f"expected {expected}"
    return f"{key} is {value!r}; {reason}." if reason else f"{text}."


def _config_fault(kind, reason):
    if kind == "TypeError" and "positional argument" in reason:
        return "it takes no argument after a colon."
    return reason if kind == "ValueError" else f"{kind}: {reason}"


# How absl's parsers begin, and what the config's own errors call the same thing.
_PARSER_REASONS = {
    "invalid literal for int": "an integer",
    "could not convert string to float": "a finite number",
    "Failed to parse": "a section, {'name': ...}, or its .name alone",
    "('Non-boolean argument": "True or False",
}


def _reason(error):
    """Returns why a command failed: the message, or the kind of an unforeseen error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input/output'}: {error.strerror}."
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}."
    if isinstance(error, ValueError):
        return str(error)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)."


def _one_line(error):
    return " ".join(str(error).split()).rstrip(".")
