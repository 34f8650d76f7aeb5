#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Send the lines of standard input to a topic and say how many are confirmed.

    produce.py HOST:PORT TOPIC <file
"""
import collections
import os
import select
import sys

import kaelix


def main(broker, topic):
    confirmed, eof = 0, False
    lines, rest = collections.deque(), b""

    def on_complete(completion):
        nonlocal confirmed
        if completion.result == "OK":
            confirmed += completion.count

    try:
        with kaelix.Client(broker) as client, client.producer(topic, large_bytes=4 << 20, on_complete=on_complete) as producer:
            while lines or not eof:
                try:
                    while lines:
                        producer.try_send(lines[0])
                        lines.popleft()
                except (kaelix.BackPressured, kaelix.NotConnected, kaelix.NotReady):
                    pass  # what makes room comes through the client's descriptor
                producer.completions()
                client.turn()  # the last thing before the sleep: a line leaves when it has to, also when no other follows
                if eof:
                    if lines:
                        select.select([client], [], [])
                    continue
                ready, _, _ = select.select([client] if lines else [client, 0], [], [])
                if 0 in ready:
                    read = os.read(0, 65536)
                    eof = not read
                    *whole, rest = (rest + read).split(b"\n")
                    if eof and rest:
                        whole.append(rest)
                    lines.extend(whole)
            # the end of the block flushes: it returns when everything is confirmed, or raises
    except kaelix.Error as e:
        print(f"{e.result}: {e}", file=sys.stderr)
        return 1
    print(confirmed, "confirmed")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(print("usage: produce.py HOST:PORT TOPIC", file=sys.stderr) or 2)
    sys.exit(main(*sys.argv[1:]))
