#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Print the first COUNT messages of a topic, from its beginning.

    consume.py HOST:PORT TOPIC COUNT
"""
import sys

import kaelix


def on_event(event):
    if event.type == "OFFSET_TRIMMED":
        print(f"partition {event.partition}: offsets {event.first} to {event.last} are gone", file=sys.stderr)


def main(broker, topic, count):
    try:
        with kaelix.Client(broker, on_event=on_event) as client:
            with client.consumer(topic, start=kaelix.EARLIEST, manual_ack=True) as consumer:
                for message in consumer.messages(count=int(count)):
                    print(message.partition, message.offset, message.value.decode(errors="replace"))
                    consumer.ack(message)  # done: a topic with `overrun = block` may give its memory to others
    except kaelix.Error as e:
        print(f"{e.result}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[3].isdecimal() or int(sys.argv[3]) == 0:
        sys.exit(print("usage: consume.py HOST:PORT TOPIC COUNT", file=sys.stderr) or 2)
    sys.exit(main(*sys.argv[1:]))
