"""What every way to run a Kafka broker on this machine has in common."""

from typing import Protocol

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After `kill` the node cannot register again before its old session ends: 9 s by default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # No record of its own each half second: nothing waits for one, and an idle broker costs half.
    "metadata.max.idle.interval.ms": "0",
    "auto.create.topics.enable": "false",
    # By default 128 MB, which the broker writes over as it starts.
    "log.cleaner.dedupe.buffer.size": "4194304",
}
"""One node that is broker and controller, for tests and demos."""


class BrokerNode(Protocol):
    """A broker on this machine, however it is run."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def remove(self) -> None: ...
