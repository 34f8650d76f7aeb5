#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Send the lines of standard input to a topic and say how many are confirmed.

    produce.py HOST:PORT TOPIC <file
"""
import sys

import kaelix


def main(broker, topic):
    confirmed = 0

    def on_complete(completion):
        nonlocal confirmed
        if completion.result == "OK":
            confirmed += completion.count

    try:
        with kaelix.Client(broker) as client, client.producer(topic, on_complete=on_complete) as producer:
            for line in sys.stdin.buffer:
                producer.send(line.rstrip(b"\n"))  # waits while there is no room
            # the end of the block flushes: it returns when everything is confirmed, or raises
    except kaelix.Error as e:
        print(f"{e.result}: {e}", file=sys.stderr)
        return 1
    print(confirmed, "confirmed")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
