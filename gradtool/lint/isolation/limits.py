"""How much of the machine one submission may use."""

from __future__ import annotations

from gradtool.records import Struct

MIB = 1024 * 1024


class Limits(Struct, frozen=True):
    """The limits of one job; each is a hard one.

    Attributes:
        wall_seconds: from the fork until everything the job started is dead.
        cpu_seconds: processor time of the worker, rounded up to whole seconds by the system.
        memory_bytes: address space that the job may add to the warmed interpreter's own, so
            that the same number means the same on every build of NumPy.
        file_bytes: the largest file that it may write, where it may write one at all.
        processes: how many tasks (itself and its threads); it never gets a second process
            where the sandbox is active.
        output_bytes: how much of standard output and error together is kept.

    Raises:
        ValueError: a limit that is not positive (file_bytes and output_bytes may be zero).
    """

    wall_seconds: float = 10.0
    cpu_seconds: float = 10.0
    memory_bytes: int = 1024 * MIB
    file_bytes: int = 0
    processes: int = 16
    output_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            least_is_zero = name in {"file_bytes", "output_bytes"}
            if not (value > 0 or (least_is_zero and value == 0)):
                raise ValueError(f"{name} must be positive, found {value!r}")
