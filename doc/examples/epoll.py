#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Send each line of standard input to a topic and print what the topic delivers, in asyncio's loop. Ends when standard
input has ended and every line has come back.

    epoll.py HOST:PORT TOPIC
"""
import asyncio
import sys

import kaelix


async def send(producer, lines):
    for line in lines:
        while True:
            try:
                producer.try_send(line.rstrip(b"\n"))
                break
            except kaelix.BackPressured:
                producer.completions()
                await producer.client.wait_async()
    await producer.flush_async()


async def receive(consumer, count):
    async for message in consumer:
        print(message.value.decode(errors="replace"))
        count -= 1
        if count == 0:
            return


async def main(broker, topic):
    lines = sys.stdin.buffer.readlines()
    with kaelix.Client(broker) as client:  # connecting and opening wait; everything after does not
        with client.consumer(topic, start=kaelix.NOW) as consumer, client.producer(topic) as producer:
            await asyncio.gather(send(producer, lines), receive(consumer, len(lines)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(print("usage: epoll.py HOST:PORT TOPIC", file=sys.stderr) or 2)
    asyncio.run(main(*sys.argv[1:]))
