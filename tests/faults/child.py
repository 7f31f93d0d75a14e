"""A command in a fork of this process: nothing has to be loaded again, and what is done to it is done to it alone."""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from types import SimpleNamespace


def in_child(words, prepare: Callable[[], object] = lambda: None):
    """Run a command after `prepare`; gives `.code` (negative: the signal that ended it), `.out`, `.err` and `.seconds`.

    The seconds are those of its processor time.
    """
    return begun(words, prepare).ended()


class begun:
    """A command that runs in a fork."""

    def __init__(self, words, prepare: Callable[[], object] = lambda: None):
        from aumclean.cli import main

        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115, closed when it has ended
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of this process are none of its business
            self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                for number, file in enumerate(self.files, start=1):
                    os.dup2(file.fileno(), number)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                prepare()
                main([str(word) for word in words])
            except SystemExit as ended:
                code = ended.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def ended(self):
        """Wait for it to end."""
        _, status, used = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        texts = []
        for file in self.files:
            with file:
                file.seek(0)
                texts.append(file.read())
        return SimpleNamespace(code=code, out=texts[0], err=texts[1], seconds=used.ru_utime + used.ru_stime)
