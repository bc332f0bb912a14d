"""librdkafka, through Python's wheel confluent-kafka.

Commands and lines as real/java/Peer.java has them:

    peer.py read BOOTSTRAP TOPIC,TOPIC [read_committed]    every record up to the ends as they are now, as JSON lines
    peer.py write BOOTSTRAP TOPIC CODEC[,CODEC]            records from standard input, prints where each is
    peer.py member BOOTSTRAP GROUP TOPIC,TOPIC STRATEGY    a member of a group until its standard input ends
    peer.py transactions BOOTSTRAP ID                      commands from standard input: begin | send TOPIC PARTITION VALUE | commit | abort
    peer.py metadata BOOTSTRAP                             brokers and topics: `broker ID`, `topic NAME PARTITIONS`
    peer.py version

The lines that real/src/librdkafka.rs has from kcat, where that cannot be installed:

    peer.py consume BOOTSTRAP TOPIC                                    the topic up to its ends as they are now
    peer.py group BOOTSTRAP GROUP TOPIC                                a line for each value, as a member of the group, up to the ends
    peer.py produce BOOTSTRAP TOPIC PARTITION PARTITIONER CODEC [NAME=VALUE ...]
                                                                       KEY:VALUE lines from standard input, with these headers; partition
                                                                       -1 leaves it to the partitioner
"""

import base64
import json
import sys
import threading

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


def text(data):
    return None if data is None else base64.b64encode(data).decode()


def data(text):
    return None if text is None else base64.b64decode(text)


def say(line):
    sys.stdout.write(line + "\n")


def as_line(message):
    headers = [[name, text(value)] for name, value in message.headers() or []]
    return json.dumps({
        "topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "timestamp": message.timestamp()[1],
        "key": text(message.key()), "value": text(message.value()), "headers": headers,
    })


def up_to_the_ends(bootstrap, topics, isolation, each):
    """Calls `each` with every message that there is now."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True, "check.crcs": True,
        "isolation.level": isolation,
    })
    partitions = [(topic, number) for topic in topics for number in consumer.list_topics(topic).topics[topic].partitions]
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in partitions])
    left = len(partitions)
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit("nothing came for 30 s")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            left -= 1
            continue
        each(message)
    sys.stdout.flush()
    consumer.close()


def read(bootstrap, topics, isolation="read_uncommitted"):
    up_to_the_ends(bootstrap, topics.split(","), isolation, lambda message: say(as_line(message)))


def write(bootstrap, topic, codecs):
    producers = [Producer({"bootstrap.servers": bootstrap, "compression.codec": codec, "linger.ms": 20}) for codec in codecs.split(",")]
    places = []
    for number, line in enumerate(sys.stdin):
        record = json.loads(line)
        places.append(None)

        def delivered(error, message, number=number):
            places[number] = str(error) if error else {"partition": message.partition(), "offset": message.offset()}

        producers[record["partition"] if len(producers) > 1 else 0].produce(
            record.get("topic") or topic, data(record["value"]), data(record["key"]), record["partition"],
            # 0 stands for the time of now here.
            timestamp=record["timestamp"] or 0, headers=[(name, data(value)) for name, value in record["headers"]], on_delivery=delivered,
        )
    for producer in producers:
        producer.flush(30)
    failed = [place for place in places if not isinstance(place, dict)]
    if failed:
        sys.exit(f"not delivered: {failed}")
    for place in places:
        say(json.dumps(place))


def member(bootstrap, group, topics, strategy):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "client.id": "librdkafka-peer", "partition.assignment.strategy": strategy,
        "session.timeout.ms": 10000, "heartbeat.interval.ms": 500, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "fetch.wait.max.ms": 200,
    })
    owned = set()

    def names(partitions):
        return {f"{partition.topic}-{partition.partition}" for partition in partitions}

    def told(word, partitions, more=""):
        say(" ".join([word, *sorted(names(partitions))]) + more)
        sys.stdout.flush()

    def assigned(_, partitions):
        owned.update(names(partitions))
        told("assigned", partitions, " owned " + " ".join(sorted(owned)))

    def revoked(_, partitions):
        commit()
        owned.difference_update(names(partitions))
        told("revoked", partitions)

    def lost(_, partitions):
        owned.difference_update(names(partitions))
        told("revoked", partitions)

    def commit():
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            # Nothing to commit; or the group goes on without us, and who gets the partition begins where we last committed.
            if error.args[0].code() not in (KafkaError._NO_OFFSET, KafkaError.REBALANCE_IN_PROGRESS):
                raise

    end = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    consumer.subscribe(topics.split(","), on_assign=assigned, on_revoke=revoked, on_lost=lost)
    fresh = 0
    while not end.is_set():
        message = consumer.poll(0.05)
        if message is None:
            sys.stdout.flush()
            if fresh:
                commit()
            fresh = 0
        elif message.error():
            sys.exit(str(message.error()))
        else:
            say(as_line(message))
            fresh += 1
    if fresh:
        commit()
    consumer.close()
    say("closed")
    sys.stdout.flush()


def transactions(bootstrap, name):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
    producer.init_transactions(30)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "send":
            producer.produce(words[0], words[2], partition=int(words[1]))
            producer.flush(30)
        else:
            {"begin": producer.begin_transaction, "commit": producer.commit_transaction, "abort": producer.abort_transaction}[command]()
        say("done " + line.rstrip("\n"))
        sys.stdout.flush()


def consume(bootstrap, topic):
    out = sys.stdout.buffer

    def each(message):
        key, value = message.key(), message.value()
        size = [-1 if part is None else len(part) for part in (key, value)]
        headers = ",".join(f"{name}={value.decode()}" for name, value in message.headers() or [])
        out.write(f"{message.partition()} {message.offset()} {message.timestamp()[1]} {size[0]} {size[1]} {headers}\n".encode())
        out.write((key or b"") + (value or b"") + b"\n")

    up_to_the_ends(bootstrap, [topic], "read_committed", each)
    out.flush()


def group(bootstrap, name, topic):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": name, "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": True,
    })
    consumer.subscribe([topic])
    left = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit("nothing came for 30 s")
        if not message.error():
            say(message.value().decode())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left -= 1
        else:
            sys.exit(str(message.error()))
    consumer.commit(asynchronous=False)
    sys.stdout.flush()
    consumer.close()


def produce(bootstrap, topic, partition, partitioner, codec, *headers):
    failed = []
    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.codec": codec, "linger.ms": 50, "partitioner": partitioner,
    })
    for line in sys.stdin.buffer:
        key, value = line.rstrip(b"\n").split(b":", 1)
        producer.produce(
            topic, value, key, int(partition), headers=[tuple(header.split("=", 1)) for header in headers],
            on_delivery=lambda error, _: error and failed.append(error),
        )
        producer.poll(0)
    if producer.flush(30) or failed:
        sys.exit(f"not delivered: {failed}")


def metadata(bootstrap):
    known = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused"}).list_topics(timeout=30)
    for broker in sorted(known.brokers):
        say(f"broker {broker}")
    for topic in sorted(known.topics):
        say(f"topic {topic} {len(known.topics[topic].partitions)}")


def version():
    say(confluent_kafka.libversion()[0])


{
    "read": read, "write": write, "member": member, "transactions": transactions, "metadata": metadata, "version": version,
    "consume": consume, "group": group, "produce": produce,
}[sys.argv[1]](*sys.argv[2:])
