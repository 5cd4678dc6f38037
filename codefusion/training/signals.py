"""Being told to stop: SIGTERM and Ctrl-C become a wish that the loop grants."""

import os
import signal
import threading


class Stopped(SystemExit):
    """The run was told to stop and has saved; exits with code 0 where uncaught.

    Attributes:
      step: the step that was saved.
    """

    def __init__(self, step: int):
        super().__init__(0)
        self.step = step

    def __str__(self):
        return f"stopped and saved at step {self.step}"


class StopSignals:
    """Notes SIGTERM and SIGINT while it is entered; a second Ctrl-C aborts at once.

    Python delivers signals to the main thread alone: entered in another, it does
    nothing.

    Attributes:
      received: name of the signal that asked to stop, or None.
    """

    def __init__(self):
        self.received = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        del frame
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nSaving after this step; Ctrl-C once more aborts.\n")
