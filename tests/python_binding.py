#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Python binding against a broker on loopback sockets: what goes in comes out, results are exceptions, nothing runs
when nothing happens. From meson: KX_BUILD is the build tree, KAELIX_LIBRARY the library."""

import asyncio
import os
import pathlib
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "python"))
sys.dont_write_bytecode = True
import kaelix  # noqa: E402

PORT = 19390
INI = f"""[broker]
udp_port = {PORT}
[lcores]
data = 1
[memory]
log_bytes = 64M
[port net_memif0]
address = 10.77.0.1/24
[principal robot]
key_file = {{key}}
frames = mac
produce = *
consume = *
[topic one]
partitions = 1
log_bytes = 8M
max_message_bytes = 64K
[topic four]
partitions = 4
log_bytes = 4M
[topic small]
partitions = 1
overrun = block
log_bytes = 2M
"""


class Broker:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        ini = pathlib.Path(self.folder.name, "broker.ini")
        self.key = pathlib.Path(self.folder.name, "key")
        self.key.touch(mode=0o600)
        self.key.write_text(secrets.token_hex(32) + "\n")
        ini.write_text(INI.replace("{key}", str(self.key)))
        self.process = subprocess.Popen([os.environ["KX_BUILD"] + "/tests/unit/udp_broker", str(ini), str(PORT), "1"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=20)
        self.folder.cleanup()


def setUpModule():
    global broker
    broker = Broker().__enter__()


def tearDownModule():
    broker.__exit__()


def client(**opts):
    return kaelix.Client(f"127.0.0.1:{PORT}", **opts)


class Binding(unittest.TestCase):
    def test_there_and_back(self):
        values = [b"", b"x", b"y" * 1000, bytes(range(256))]
        with client() as c:
            self.assertTrue(c.connected)
            self.assertEqual(c.topics(), {"one": 1, "four": 4, "small": 1})
            self.assertGreater(c.info["boot_id"], 0)
            with c.consumer("one", partition=0) as consumer, c.producer("one", large_bytes=1 << 20) as producer:
                done = []
                producer.on_complete = done.append
                for i, v in enumerate(values):
                    producer.send(v, key=b"k%d" % i, headers=[("name", b"value"), (b"n2", b"")], timestamp_ns=7 + i)
                producer.send(b"L" * 60000)
                producer.flush()
                self.assertEqual(producer.pending, 0)
                self.assertEqual(sum(d.count for d in done), 5)
                self.assertEqual({d.result for d in done}, {"OK"})
                self.assertEqual(producer.confirmed(0), 5)
                got = list(consumer.messages(timeout=5, count=5))
        self.assertEqual([m.value for m in got], values + [b"L" * 60000])
        self.assertEqual([m.key for m in got], [b"k0", b"k1", b"k2", b"k3", None])
        self.assertEqual(got[0].headers, [(b"name", b"value"), (b"n2", b"")])
        self.assertEqual([m.timestamp_ns for m in got], [7, 8, 9, 10, 0])
        self.assertEqual([m.offset for m in got], list(range(got[0].offset, got[0].offset + 5)))

    def test_seek_pause_ack(self):
        with client() as c, c.producer("four") as producer:
            consumer = c.consumer("four", start=kaelix.NOW, manual_ack=True)
            for i in range(40):
                producer.send(b"%d" % i, partition=i % 4)
            producer.flush()
            got = list(consumer.messages(timeout=5, count=40))
            self.assertEqual(sorted(int(m.value) for m in got), list(range(40)))
            self.assertRaises(kaelix.BadArgument, consumer.ack, partition=0, offset=consumer.position(0) + 1)
            consumer.ack(got[-1])
            start = consumer.position(2) - 10
            consumer.seek(start, partition=2)
            again = list(consumer.messages(timeout=5, count=10))
            self.assertEqual([(m.partition, m.offset) for m in again], [(2, start + i) for i in range(10)])
            consumer.pause(1)
            for p in (1, 3):
                producer.send(b"later", partition=p)
            producer.flush()
            self.assertEqual([m.partition for m in consumer.messages(timeout=0.2)], [3])
            consumer.resume()
            self.assertEqual([m.partition for m in consumer.messages(timeout=5, count=1)], [1])
            self.assertEqual(consumer.end(1), consumer.position(1))
            consumer.close()
            self.assertRaises(kaelix.Closed, consumer.next)

    def test_key(self):
        for protect in (kaelix.MAC, kaelix.AEAD):
            with client(principal="robot", key_file=broker.key, protect=protect) as c, c.producer("four") as producer:
                with c.consumer("four") as consumer:
                    producer.send(b"signed")
                    producer.flush()
                    self.assertEqual([m.value for m in consumer.messages(timeout=5, count=1)], [b"signed"])
        wrong = pathlib.Path(broker.folder.name, "wrong")
        wrong.touch(mode=0o600)
        wrong.write_text(secrets.token_hex(32) + "\n")
        self.assertRaises((kaelix.Refused, kaelix.TimedOut), client, principal="robot", key_file=wrong, timeout=0.5)
        wrong.chmod(0o644)
        with self.assertRaises(OSError) as caught:
            client(principal="robot", key_file=wrong)
        self.assertIn(str(wrong), str(caught.exception))

    def test_results_are_exceptions(self):
        for name in kaelix.RESULTS.values():
            if name != "OK":
                error = getattr(kaelix, "".join(w.capitalize() for w in name.split("_")))
                self.assertTrue(issubclass(error, kaelix.Error))
                self.assertTrue(error.__doc__)
        with client() as c:
            with self.assertRaises(kaelix.UnknownTopic) as caught:
                c.producer("nothing of the kind")
            self.assertEqual(caught.exception.result, "UNKNOWN_TOPIC")
            self.assertRaises(kaelix.UnknownTopic, c.consumer, "nothing of the kind")
            with c.producer("four") as producer:
                self.assertRaises(kaelix.InUse, c.producer, "four")
                self.assertRaises(kaelix.UnknownPartition, producer.send, b"", partition=4)
                self.assertRaises(kaelix.TooLarge, producer.send, b"x" * 100000)
        self.assertRaises(kaelix.Closed, lambda: c.connected)
        start = time.monotonic()
        with self.assertRaises(kaelix.TimedOut):
            kaelix.Client("127.0.0.1:9", timeout=0.3)
        self.assertLess(time.monotonic() - start, 5)

    def test_wrong_arguments(self):
        for broker_, words in (("127.0.0.1:74536", "from 1 to 65535"), ("127.0.0.1:0", "from 1 to 65535"),
                               ("127.0.0.1:", "from 1 to 65535"), ("localhost:x", "from 1 to 65535"),
                               ("localhost:-1", "from 1 to 65535"), ("[::1]:65536", "from 1 to 65535"),
                               (("127.0.0.1", PORT + 65536), "from 1 to 65535"), (("127.0.0.1", 0), "from 1 to 65535"),
                               (("127.0.0.1", None), "from 1 to 65535"), ((), "a host and a port"), ("", "no name"),
                               (":9000", "no host"), (("", 9000), "no name"), ("a\0b", "no name"), ("x" * 300, "no name")):
            with self.subTest(broker=broker_), self.assertRaisesRegex(ValueError, words):
                kaelix.Client(broker_, connect=False)
        for opts, words in (({"key_file": broker.key}, "needs principal"), ({"principal": "x" * 300}, "at most"),
                            ({"principal": "robot", "protect": kaelix.MAC}, "needs principal and key_file"),
                            ({"protect": 3}, "PLAIN, MAC or AEAD")):
            with self.subTest(opts=opts), self.assertRaisesRegex(ValueError, words):
                client(**opts)
        kaelix.Client(("localhost", PORT)).close()

    def test_flush_counts_what_failed(self):
        """Batches that were not confirmed: all their messages, and the first failure's name."""
        with Second() as second:
            with kaelix.Client(("127.0.0.1", PORT + 5), timeout=1, reconnect=False) as c:
                producer = c.producer("four")
                second.stop()
                taken = 0
                for i in range(40):
                    try:
                        producer.try_send(b"x" * 1000, partition=i % 4)
                        taken += 1
                    except kaelix.BackPressured:
                        break
                self.assertGreater(taken, 8)
                with self.assertRaisesRegex(kaelix.Error, f"four: {taken} messages of partitions 0, 1, 2, 3: "):
                    producer.flush(timeout=20)
                producer.flush(timeout=1)

    def test_back_pressure(self):
        """A log that blocks stops the producer, by name; an acknowledgement lets it go on."""
        with client() as c, c.producer("small", send_slots=16) as producer:
            consumer = c.consumer("small", start=kaelix.EARLIEST, manual_ack=True)
            with self.assertRaises(kaelix.TimedOut):
                for _ in range(10000):
                    producer.send(b"x" * 1000, timeout=0.5)
            last = None
            for last in consumer.messages(timeout=0.3):
                pass
            consumer.ack(last)
            for _ in range(100):
                producer.send(b"x" * 1000, timeout=10)
            producer.flush(timeout=10)

    def test_asyncio(self):
        async def run():
            with client() as c, c.consumer("one") as consumer, c.producer("one") as producer:
                ticks = 0

                async def send():
                    for i in range(100):
                        producer.try_send(b"%d" % i)
                        await asyncio.sleep(0)
                    await producer.flush_async()

                async def receive(n):
                    found = []
                    async for m in consumer:
                        found.append(int(m.value))
                        if len(found) == n:
                            return found

                async def tick():
                    nonlocal ticks
                    while True:
                        ticks += 1
                        await asyncio.sleep(0.01)

                ticker = asyncio.create_task(tick())
                _, found = await asyncio.wait_for(asyncio.gather(send(), receive(100)), 20)
                self.assertEqual(found, list(range(100)))
                before, ticks = ticks, 0
                waiting = asyncio.create_task(receive(1))  # nothing comes: the loop is free for others
                await asyncio.sleep(0.3)
                self.assertGreater(ticks, 5)
                waiting.cancel()
                ticker.cancel()
                self.assertGreater(before, 0)
        asyncio.run(run())

    def test_sleep_costs_nothing_and_ends_at_once(self):
        with client() as c, c.consumer("one") as consumer:
            def cpu():
                used = resource.getrusage(resource.RUSAGE_THREAD)
                return used.ru_utime + used.ru_stime

            before = cpu()
            self.assertEqual(list(consumer.messages(timeout=0.9)), [])
            self.assertLess(cpu() - before, 0.3)  # spinning would be 0.9
            waker = threading.Timer(0.1, c.wake)
            waker.start()
            turns = 0
            start = time.monotonic()
            while waker.is_alive() and turns < 1000:
                if c.poll() == 0:
                    c.wait(20)
                turns += 1
            self.assertLess(time.monotonic() - start, 15)
            self.assertLess(turns, 100)
            waker.join()

    def test_broker_goes_away(self):
        events = []
        with Second() as second:
            c = kaelix.Client(("127.0.0.1", PORT + 5), on_event=events.append, timeout=0.5)
            self.addCleanup(c.close)
            producer = c.producer("one")
            producer.send(b"x")
            producer.flush()
            second.stop()
            end = time.monotonic() + 20
            while not any(e.type == "DISCONNECTED" for e in events) and time.monotonic() < end:
                if c.poll() == 0:
                    c.wait(0.1)
            self.assertEqual([e.result for e in events if e.type == "DISCONNECTED"], ["STOPPING"])
            self.assertRaises((kaelix.NotConnected, kaelix.NotReady), producer.try_send, b"y")


class Second(Broker):
    def __enter__(self):
        global PORT, INI
        first, ini = PORT, INI
        try:
            INI, PORT = INI.replace(str(PORT), str(PORT + 5)), PORT + 5
            return super().__enter__()
        finally:
            PORT, INI = first, ini

    def stop(self):
        self.process.stdin.close()
        self.process.stdin = None
        self.process.wait(20)


if __name__ == "__main__":
    unittest.main(verbosity=1)
