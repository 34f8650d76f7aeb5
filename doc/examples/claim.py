#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Send COUNT numbers of 8 bytes, written where they are sent from, and print the rate at which they were confirmed.

    claim.py HOST:PORT TOPIC COUNT
"""
import struct
import sys
import time

import kaelix


def main(broker, topic, count):
    sent, count = 0, int(count)
    with kaelix.Client(broker) as client, client.producer(topic) as producer:
        start, each = time.monotonic(), producer.fit(8)
        while sent < count:
            n = min(each, count - sent)
            try:
                values = producer.claim(sent // each % producer.partitions, 8, n)
            except kaelix.BackPressured:
                producer.completions()
                if client.poll() == 0:
                    client.wait(0.1)
                continue
            for i, value in enumerate(values):
                struct.pack_into("<Q", value, 0, sent + i)
            producer.commit(user=sent)
            sent += n
        producer.flush()
        print(f"{count} confirmed, {count / (time.monotonic() - start):.0f} a second")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[3].isdecimal() or int(sys.argv[3]) == 0:
        sys.exit(print("usage: claim.py HOST:PORT TOPIC COUNT", file=sys.stderr) or 2)
    sys.exit(main(*sys.argv[1:]))
