"""An emitted module that computes something else than what was derived is not handed out."""

from __future__ import annotations

import pytest

import gradtool
from gradtool.derive.derivation import derive
from gradtool.emit import numpy_module
from gradtool.numeric import proved
from gradtool.numeric.certify import CertificationError
from gradtool.spec.bundled import bundled_specs
from gradtool.spec.forward import graph_of
from gradtool.spec.load import load_path


def _changed(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    """The emitter makes a mistake."""
    original = numpy_module.module_text

    def wrong(*arguments: object, **options: object) -> str:
        text = original(*arguments, **options)  # type: ignore[arg-type]
        assert before in text
        return text.replace(before, after)

    monkeypatch.setattr(proved, "module_text", wrong)


@pytest.mark.parametrize(
    ("layer", "before", "after", "told"),
    [
        ("affine", "dX = dY @ W.T", "dX = dY @ W.T * 1.00001", "dX differs"),
        ("affine", "db = dY.sum(axis=0)", "db = dY.sum(axis=0, keepdims=True)", "db differs"),
        ("affine", "Y = X @ W + b", "Y = X @ W - b", "Y differs"),
        ("affine", "dW = X.T @ dY", "dW = X @ dY", "it fails"),
        ("rnn", "dh_next = dz @ Wh.T", "dh_next = dz @ Wh", "differs"),
        ("softmax_cross_entropy", "/ N", "/ (N + 1)", "differs"),
    ],
)
def test_a_wrong_module_is_a_bug_that_is_told(
    monkeypatch: pytest.MonkeyPatch, layer: str, before: str, after: str, told: str
) -> None:
    spec = load_path(bundled_specs()[layer])
    _changed(monkeypatch, before, after)
    with pytest.raises(CertificationError, match=told):
        proved.proved_module(spec, derive(graph_of(spec)))


@pytest.mark.parametrize("layer", ["affine", "batch_norm", "lstm", "max_pool2d", "word_embedding"])
def test_a_right_module_is_handed_out(layer: str) -> None:
    spec = load_path(bundled_specs()[layer])
    derivation = derive(graph_of(spec))
    assert proved.proved_module(spec, derivation) == numpy_module.module_text(spec, derivation)


def test_the_python_interface_hands_out_what_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    _changed(monkeypatch, "dX = dY @ W.T", "dX = -dY @ W.T")
    found = gradtool.load("affine").derive()
    with pytest.raises(CertificationError):
        found.numpy()
    with pytest.raises(CertificationError):
        found.numpy_text()
