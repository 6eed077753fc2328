"""A fleet on a Ray cluster of three nodes, one of which is killed half way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import ModelError
from quantkit.fleets.engine import FleetLimits
from quantkit.fleets.ray_engine import RayEngine
from tests.fleets.small import ENOUGH, LARGER, records, setup_of, user, write_model, write_users

ray = pytest.importorskip("ray", reason="the extra fleet is not installed")
pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
NAMES = [f"user{number}" for number in range(6)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without cores of its own, and two nodes with one each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        # Else Ray takes another address of this machine for itself.
        patch.setattr("ray._private.services.get_node_ip_address", lambda *_: "127.0.0.1")
        here = {"node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
        head = {"num_cpus": 0, "include_dashboard": False, **here}
        made = Cluster(initialize_head=True, head_node_args=head)
        nodes = [made.add_node(num_cpus=1, **here) for _ in range(2)]
        ray.init(
            address=made.address,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level="ERROR",
        )
        yield made, nodes
        ray.shutdown()
        made.shutdown()


def in_work(output: Path) -> int:
    """Users that were begun and do not have all of their artifacts."""
    return len(list(output.glob(".work/*.lock"))) - len(records(output)) // 2


def test_a_node_that_is_killed_costs_only_what_it_was_making(cluster: Any, tmp_path: Path) -> None:
    made, (_, victim) = cluster
    model = write_model(tmp_path)
    write_users(tmp_path, NAMES)
    setup = setup_of(model, tmp_path / "out", ENOUGH, LARGER)
    said: list[str] = []
    outcomes = []
    before: dict[str, int] = {}
    users = [user(tmp_path, name) for name in NAMES]
    # More tasks than cores, so that no node waits for its next one.
    for outcome in RayEngine(FleetLimits(workers=4)).run(setup, users, said.append):
        if not outcomes:
            until = time.monotonic() + 60
            while in_work(tmp_path / "out") < 2 and time.monotonic() < until:
                time.sleep(0.02)
            before = records(tmp_path / "out")
            made.remove_node(victim, allow_graceful=False)
        outcomes.append(outcome)
    assert sorted((o.user, o.budget_bytes) for o in outcomes) == sorted(
        (name, budget) for name in NAMES for budget in (ENOUGH, LARGER)
    )
    assert {o.status for o in outcomes} <= {"made", "kept"}
    # Both nodes had a user at that time, and that of one was begun again.
    assert len(said) == 1
    assert "its worker was lost" in said[0]
    assert sorted(o.attempts for o in outcomes)[-2:] == [2, 2]
    after = records(tmp_path / "out")
    assert len(after) == 2 * len(NAMES)
    assert before.items() <= after.items()


def test_what_no_worker_can_begin_with_is_an_error(cluster: Any, tmp_path: Path) -> None:
    write_users(tmp_path, NAMES[:1])
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    setup = setup_of(tmp_path / "bad.onnx", tmp_path / "out")
    with pytest.raises(ModelError):
        list(RayEngine(FleetLimits()).run(setup, [user(tmp_path, NAMES[0])], lambda _: None))
