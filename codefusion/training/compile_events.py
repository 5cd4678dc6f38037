"""What jax tells while it compiles: when it begins, when it ends, what was cached."""

import contextlib
from collections.abc import Callable

from jax import monitoring

# Phases of compiling: a function is traced, its jaxpr lowered, the module compiled.
# The last is the only one that comes once for each program, and it includes the
# reading of a cached one. Tracing nests: a function calls another that is jitted.
_PHASES = "/jax/core/compile/"
COMPILE = _PHASES + "backend_compile_duration"

CACHE_HIT = "/jax/compilation_cache/cache_hits"
CACHE_MISS = "/jax/compilation_cache/cache_misses"


@contextlib.contextmanager
def listening(*, begin: Callable, end: Callable, event: Callable):
    """Calls back while jax compiles, from whichever thread does.

    Args:
      begin: called with the name of a phase when it begins, `COMPILE` or another.
      end: called with the name of a phase when it ends, by an error too.
      event: called with the name of every other event, `CACHE_HIT` and `CACHE_MISS`
        among them.
    """

    def on_scalar(name, value, **details):
        if name.startswith(_PHASES):
            begin(name)

    def on_duration(name, seconds, **details):
        if name.startswith(_PHASES):
            end(name)

    def on_event(name, **details):
        event(name)

    monitoring.register_scalar_listener(on_scalar)
    monitoring.register_event_duration_secs_listener(on_duration)
    monitoring.register_event_listener(on_event)
    try:
        yield
    finally:
        monitoring.unregister_scalar_listener(on_scalar)
        monitoring.unregister_event_duration_listener(on_duration)
        monitoring.unregister_event_listener(on_event)
