"""One answer to one question of the course, and what the answer key says about it."""

from __future__ import annotations

from collections.abc import Mapping

from gradtool.records import Struct, field


class Answer(Struct, frozen=True):
    """Function definitions that a student hands in.

    Attributes:
        name: unique in its question.
        text: the definitions; `np` is imported above them.
        wrong: the gradients that are wrong, each with the causes that may be named for it; an
            empty tuple takes any.
        forward: whether the forward pass is right.
        codes: findings of which one must be there when the backward pass does not come to an
            end; no gradient earns anything then.
    """

    name: str
    text: str
    wrong: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forward: bool = True
    codes: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.forward and not self.wrong and not self.codes


class Question(Struct, frozen=True):
    """A layer that the course asks for.

    Attributes:
        spec: a bundled layer.
        gradients: the names whose gradients count.
        answers: right ones and wrong ones.
    """

    spec: str
    gradients: tuple[str, ...]
    answers: tuple[Answer, ...]
    points: int = 10

    def worth(self, answer: Answer) -> float:
        """What an answer earns: one share for the forward pass and one for each gradient."""
        right = 0 if answer.codes else sum(name not in answer.wrong for name in self.gradients)
        earned = answer.forward + right
        return self.points * earned / (1 + len(self.gradients))
