"""A frame arrives as it was sent, or the reader gets a typed error and no memory is spent."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradtool.lint.isolation import frames


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """Both ends; a test may close one and remove it."""
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        os.close(fd)


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_frames_arrive_in_order(payloads: list[bytes]) -> None:
    source, sink = os.pipe()
    try:
        for payload in payloads:
            frames.write_frame(sink, payload)
        assert [frames.read_frame(source, 2000) for _ in payloads] == payloads
    finally:
        os.close(source)
        os.close(sink)


def test_more_than_a_pipe_holds(pipe: list[int]) -> None:
    source, sink = pipe
    payload = os.urandom(3_000_000)
    writer = threading.Thread(target=frames.write_frame, args=(sink, payload))
    writer.start()
    assert frames.read_frame(source, len(payload)) == payload
    writer.join()


@given(st.integers(min_value=101, max_value=2**64 - 1))
def test_too_long_is_refused_before_a_byte_is_read(length: int) -> None:
    with pytest.raises(frames.FrameTooLong, match="at most 100"):
        frames.length_of(length.to_bytes(8, "little"), 100)


@pytest.mark.parametrize("sent", [b"", b"123", (5).to_bytes(8, "little") + b"1234"])
def test_an_early_end(pipe: list[int], sent: bytes) -> None:
    source, sink = pipe
    os.write(sink, sent)
    os.close(sink)
    pipe.remove(sink)
    with pytest.raises(frames.FrameEnded):
        frames.read_frame(source, 100)


def test_a_reader_that_left(pipe: list[int]) -> None:
    source, sink = pipe
    os.close(source)
    pipe.remove(source)
    with pytest.raises(frames.FrameEnded):
        frames.write_frame(sink, b"x")


def test_a_drip_does_not_move_the_deadline(pipe: list[int]) -> None:
    source, sink = pipe
    os.set_blocking(source, False)
    stop = threading.Event()

    def drip() -> None:
        os.write(sink, (1000).to_bytes(8, "little"))
        while not stop.wait(0.05):
            os.write(sink, b"x")

    writer = threading.Thread(target=drip)
    writer.start()
    began = time.monotonic()
    with pytest.raises(frames.FrameTimeout):
        frames.read_frame(source, 1000, frames.until(began + 0.4))
    stop.set()
    writer.join()
    assert time.monotonic() - began < 2
