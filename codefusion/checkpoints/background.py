"""Calls in threads that do not keep a program from its end."""

import concurrent.futures
import threading


def start(function, *args, **options) -> concurrent.futures.Future:
    """Returns the future of a call, at work in a daemon thread.

    Python joins the threads of a pool, and all that are no daemons, before it runs what
    is registered with atexit; a host would wait there for hosts that are gone. Threads
    that the call starts are daemons as well, unless it says otherwise.

    Args:
      function: what to call with the other arguments.
    """
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="checkpoints", daemon=True).start()
    return future
