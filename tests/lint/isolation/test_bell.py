"""A supervisor hears of the end of its worker by either means that a system may have."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEARD = """
import os, select, signal
from gradtool.lint.isolation import bell

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as the zygote has it
if {by_signal}:
    bell._has_descriptors = lambda: False
heard = bell.Bell()
for code in (3, 4):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        heard.leave()
        os.read(read, 1)
        default = signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
        os._exit(code if default and signal.set_wakeup_fd(-1) == -1 else 99)
    rung = heard.of(child)
    poll = select.poll()
    poll.register(rung, select.POLLIN)
    assert not poll.poll(50), "it lives"
    os.write(write, b"x")
    assert [fd for fd, _ in poll.poll(10_000)] == [rung]
    heard.silence()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    heard.collected(rung)
"""


@pytest.mark.parametrize("by_signal", [False, True])
def test_an_end_is_heard_and_nothing_is_left_in_the_worker(by_signal: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEARD.format(by_signal=by_signal)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
