"""How long a diagnosis may take: what is not found by then is told as not known.

Likely mistakes are tried first, so what is left out are the far-fetched ones.
"""

from __future__ import annotations

import time

from gradtool.records import Struct, field

# Seconds of the processor, for all gradients of a file.  What only numbers are known of is looked
# for until it is found, so that a course gets the same answer every time; somebody who waits, and
# whose code was tried already, does not wait for every mistake of a loop to be played through: the
# likely ones of the five gradients of an LSTM take three seconds, and with one it was chance of
# which of them the mistake was told.  For a wrong forward with a loop there are fewer to try.
# Where the code has told the mistake, numbers only have to agree.
BY_NUMBERS, AFTER_CODE, OF_LOOPS, TOLD = 60.0, 6.0, 1.0, 2.0


class Budget(Struct):
    """Seconds of this thread's own work; a busy machine changes nothing.

    `is_cut` tells whether something was left out.
    """

    seconds: float = BY_NUMBERS
    is_cut: bool = False
    _start: float = field(default_factory=time.thread_time)

    def spent(self) -> bool:
        """Whether nothing is left; who asks then leaves something out."""
        if not self.is_cut and time.thread_time() - self._start > self.seconds:
            self.is_cut = True
        return self.is_cut

    @property
    def left(self) -> float:
        return max(0.0, self.seconds - (time.thread_time() - self._start))
