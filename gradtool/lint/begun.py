"""How many threads an interpreter has begun, whoever began them and by whatever means.

Python tells of threads that are there, and from 3.12 on of those that begin. One that has begun and
ended meanwhile, by a call that no profiler sees, is in the numbers that the interpreter gives them:
no number is given twice.
"""

from __future__ import annotations

import ctypes
from functools import cache


@cache
def _interface() -> ctypes.PyDLL:
    api = ctypes.pythonapi
    state = ctypes.c_void_p
    api.PyInterpreterState_Get.restype = state
    api.PyThreadState_New.restype, api.PyThreadState_New.argtypes = state, (state,)
    api.PyThreadState_GetID.restype, api.PyThreadState_GetID.argtypes = ctypes.c_uint64, (state,)
    for function in (api.PyThreadState_Clear, api.PyThreadState_Delete):
        function.restype, function.argtypes = None, (state,)
    return api


def next_thread() -> int:
    """The number that the next thread would have had: each call uses one up."""
    api = _interface()
    state = api.PyThreadState_New(api.PyInterpreterState_Get())
    number = int(api.PyThreadState_GetID(state))
    api.PyThreadState_Clear(state)
    api.PyThreadState_Delete(state)
    return number
