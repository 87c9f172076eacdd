"""Run code that nobody trusts: one forked process per job, behind what the host can enforce.

The judge holds a `zygote.Zygote`; the zygote forks a supervisor per job; the supervisor forks the
worker, which locks itself in (`layers`) before it calls the trusted entry that meets the
submission. What the worker says is bytes in capped frames, never an object.
"""

OURS = ("gradtool", "msgspec")
"""What gradtool itself needs in a worker, which no submission can read or import."""
