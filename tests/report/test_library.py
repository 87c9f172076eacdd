"""An unknown layer's name leads to the layers that were probably meant."""

from __future__ import annotations

import pytest

from gradtool.report import library
from gradtool.spec.usage import UsageError


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("batchnorm", "did you mean 'batch_norm'?"),
        ("scaled-dot-product-attention", "attention, attention_batch, attention_causal"),
        ("max_pooling", "max_pool2d"),
        ("qqq", "`gradtool specs` lists the bundled layers"),
    ],
)
def test_the_hint_names_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        library.load(text)
    assert hint in caught.value.hint
