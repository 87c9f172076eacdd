"""A layer that is called active was seen to refuse; one that is not says why."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from gradtool.lint.isolation import layers as package
from gradtool.lint.isolation.layers import all_layers, landlock, namespaces
from gradtool.lint.isolation.layers.base import Layer
from gradtool.lint.isolation.status import GUARDS, LayerStatus, unguarded
from gradtool.lint.isolation.zygote import SandboxUnavailable, Zygote
from tests.lint.isolation.conftest import HOSTILE, SHORT, run_hostile, setup_with


def test_every_file_with_a_layer_is_found() -> None:
    folder = Path(package.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\nLAYER = " in path.read_text()}
    assert {layer.name for layer in all_layers()} == files


def test_orders_differ_and_guards_are_known() -> None:
    orders = [layer.order for layer in all_layers()]
    assert orders == sorted(set(orders))
    assert frozenset[str]().union(*(layer.guards for layer in all_layers())) <= GUARDS


def test_every_guard_has_a_layer_on_linux() -> None:
    active = [LayerStatus(layer.name, True, "", layer.guards) for layer in all_layers()]
    assert unguarded(active) == (() if sys.platform == "linux" else ("memory",))


def test_an_inactive_layer_guards_nothing() -> None:
    assert unguarded([LayerStatus("all", False, "off", GUARDS)]) == tuple(sorted(GUARDS))


def test_each_worker_reports_each_layer(sandbox: Zygote) -> None:
    with sandbox.run(f"{HOSTILE}:tell_hash", ()) as worker:
        worker.wait()
        assert [layer.name for layer in worker.layers] == [layer.name for layer in all_layers()]
        assert worker.layers == sandbox.layers_active
        assert all(layer.active or layer.reason for layer in worker.layers)


def test_a_probe_sees_that_its_layer_is_missing(bare: Zygote) -> None:
    assert not any(layer.active for layer in bare.layers_active)
    seen, _, _ = run_hostile(bare, "probe_all", namespaces.inodes())
    assert {name.partition(" ")[0] for name in seen} == {layer.name for layer in all_layers()}
    assert all(seen.values()), seen


@pytest.mark.parametrize("layer", all_layers(), ids=lambda layer: layer.name)
def test_a_layer_that_is_off_is_told_and_missed(layer: Layer) -> None:
    zygote = Zygote(setup_with(layers_off=(layer.name,)))
    with zygote:
        zygote.start(SHORT, False)
        states = {status.name: str(status) for status in zygote.layers_active}
        lacking = unguarded(zygote.layers_active)
    assert states[layer.name] == f"{layer.name}: inactive (switched off)"
    if lacking:
        with pytest.raises(SandboxUnavailable, match=lacking[0]), zygote:
            zygote.start(SHORT, True)
    else:
        with zygote:
            zygote.start(SHORT, True)


def test_without_layers_the_harms_are_possible(bare: Zygote, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("x")
    seen, _, _ = run_hostile(bare, "read_files", [str(private)])
    assert set(seen.values()) == {"done"}
    seen, _, _ = run_hostile(bare, "change_files", str(tmp_path))
    assert seen["create"] == "done"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        seen, _, _ = run_hostile(bare, "use_network", [port, str(private), "\0gradtool-nobody"])
    assert seen["tcp"] == "done"
    seen, _, _ = run_hostile(bare, "reach_processes", os.getpid())
    assert seen["judge"] == "done"


def test_a_worker_without_a_required_layer_does_not_call_the_entry() -> None:
    with Zygote(setup_with(layers_off=("seccomp", "namespaces"))) as zygote:
        zygote.start(SHORT, False)
        # As if the layers had been there at the start and were missing later.
        zygote._require = True
        with zygote.run(f"{HOSTILE}:raise_error", ()) as worker:
            ended = worker.wait()
            assert (ended.kind, worker.output) == ("refused", b"")
            assert "network" in ended.detail


def test_a_link_is_not_granted_and_costs_no_layer(sandbox: Zygote, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("")
    link = tmp_path / "link.py"
    link.symlink_to("file.py")
    paths = (link, tmp_path / "gone.py")
    seen, _, worker = run_hostile(sandbox, "read_files", [str(link)], paths=paths)
    assert [layer.active for layer in worker.layers] == [
        layer.active for layer in sandbox.layers_active
    ]
    if "files-read" not in unguarded(worker.layers):
        assert seen == {str(link): "EACCES"}
        reasons = " ".join(layer.reason for layer in worker.layers)
        assert "is a link" in reasons
        assert "No such file" in reasons


@pytest.mark.parametrize(
    ("version", "size"), [(1, 8), (2, 8), (3, 8), (4, 16), (5, 16), (6, 24), (7, 24), (99, 24)]
)
def test_landlock_asks_each_version_for_what_it_knows(version: int, size: int) -> None:
    data = landlock.attributes(version)
    assert len(data) == size
    # Documentation/userspace-api/landlock.rst: 13 rights, then REFER, TRUNCATE, IOCTL_DEV.
    rights = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}.get(version, 0xFFFF)
    assert int.from_bytes(data[:8], "little") == rights
