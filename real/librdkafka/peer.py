"""librdkafka through Python's wheel confluent-kafka, where kcat cannot be installed. It speaks the lines that real/src/librdkafka.rs
has from kcat.

    peer.py consume BOOTSTRAP TOPIC                                    the topic up to its ends as they are now
    peer.py produce BOOTSTRAP TOPIC PARTITION PARTITIONER CODEC [NAME=VALUE ...]
                                                                       KEY:VALUE lines from standard input, with these headers; partition
                                                                       -1 leaves it to the partitioner
"""

import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition


def consume(bootstrap, topic):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True, "check.crcs": True,
    })
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    left = len(partitions)
    out = sys.stdout.buffer
    while left:
        message = consumer.poll(30)
        if message is None:
            sys.exit("nothing came for 30 s")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            left -= 1
            continue
        key, value = message.key(), message.value()
        size = [-1 if data is None else len(data) for data in (key, value)]
        headers = ",".join(f"{name}={text.decode()}" for name, text in message.headers() or [])
        out.write(f"{message.partition()} {message.offset()} {message.timestamp()[1]} {size[0]} {size[1]} {headers}\n".encode())
        out.write((key or b"") + (value or b"") + b"\n")
    out.flush()
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


{"consume": consume, "produce": produce}[sys.argv[1]](*sys.argv[2:])
