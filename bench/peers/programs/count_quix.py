"""Orders per customer with quixstreams: state in RocksDB with a changelog topic. `--kind` is the
processing guarantee: at-least-once or exactly-once."""

import threading
import time

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from quixstreams import Application, State

from bench.peers.programs._counting import Meter, arguments, order_of


def changelog(bootstrap: str, topic: str) -> dict[bytes, tuple[int, int]]:
    """The newest state of each customer; the library has no query for it."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
    counts: dict[bytes, tuple[int, int]] = {}
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(5)
        if message is None:
            break
        if message.error():
            ended += 1
            continue
        if message.value() is not None:
            orders, revenue = orjson.loads(message.value())
            counts[message.key()] = orders, revenue
    consumer.close()
    return counts


def main() -> None:
    """Count until the topic is read to its end."""
    options = arguments()
    meter = Meter(options.until)
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        processing_guarantee=options.kind or "at-least-once",
        state_dir=f"{options.folder}/state",
        consumer_extra_config={"session.timeout.ms": 6_000},
        loglevel="WARNING",
    )
    topic = app.topic(options.topic, value_deserializer="bytes", key_deserializer="bytes")
    frame = app.dataframe(topic)

    def counted(value: bytes, state: State) -> list[int]:
        _, amount = order_of(value)
        orders, revenue = state.get("sums", [0, 0])
        sums = [orders + 1, revenue + amount]
        state.set("sums", sums)
        meter.saw()
        return sums

    frame.apply(counted, stateful=True)

    def watch() -> None:
        while not meter.over:
            time.sleep(0.2)
        app.stop()

    threading.Thread(target=watch, daemon=True).start()
    app.run()
    topics = AdminClient({"bootstrap.servers": options.bootstrap}).list_topics().topics
    (name,) = (name for name in topics if name.startswith(f"changelog__{options.group}--"))
    meter.finish(changelog(options.bootstrap, name).values())


main()
