"""Flags that several commands share, and what they change."""

from absl import flags


def define_data_dir(flag_values):
    """Adds --data_dir, where the files of the data sets are."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder of the data files; without it CODEFUSION_DATA, else a download.",
        flag_values=flag_values,
    )


def set_data_dir(config, options):
    """Puts the folder of --data_dir, where it is given, into a config.

    Args:
      config: a ConfigDict; changed in place.
      options: the flags of a command that has `define_data_dir`'s.
    """
    if options.data_dir:
        config.data.data_dir = options.data_dir


def define_codebert(flag_values):
    """Adds --codebert, the model behind the metric `codebert_score`."""
    flags.DEFINE_string(
        "codebert",
        None,
        "Folder of CodeBERT weights for the metric codebert_score.",
        flag_values=flag_values,
    )


def embedder(options):
    """Returns the token embeddings that --codebert names, None without it.

    Args:
      options: the flags of a command that has `define_codebert`'s.

    Returns:
      str -> float[T, D], or None.
    """
    if not options.codebert:
        return None
    from codefusion.evaluation import codebert

    return codebert.load(options.codebert)


def define_hosts(flag_values):
    """Adds the flags that say which processes a run has and which of them this is."""
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of process 0; not needed on a TPU VM, GKE and SLURM.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_processes",
        None,
        "Number of processes of the run, each started with this command.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_id",
        None,
        "Which of them this is, from 0.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "host_timeout",
        300.0,
        "Seconds that processes wait for each other at the start and at the end.",
        flag_values=flag_values,
    )


def cluster(options):
    """Returns the processes of the run, a `hosts.Cluster`; None for one alone.

    Args:
      options: the flags of a command that has `define_hosts`'s.
    """
    from codefusion import hosts

    return hosts.find(
        coordinator=options.coordinator,
        num_processes=options.num_processes,
        process_id=options.process_id,
    )
