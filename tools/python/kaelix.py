# SPDX-License-Identifier: BSD-3-Clause
"""Kaelix for Python: producers and consumers over libkaelix (ctypes, standard library only).

    import kaelix

    with kaelix.Client("127.0.0.1:9000") as client:
        with client.producer("orders") as producer:
            producer.send(b"hello", key=b"customer 7")      # flush() at the end: all of it is confirmed
        with client.consumer("orders", start=kaelix.EARLIEST) as consumer:
            for message in consumer.messages(timeout=1.0):
                print(message.partition, message.offset, message.value)

The library is found through KAELIX_LIBRARY (a path, e.g. build/drivers/transport/udp/libkaelix.so), then as the
installed libkaelix.so.0.

Threads: a Client and everything under it belong to one thread at a time, as the C library says; Client.wake() is
for any thread. Several clients in several threads share nothing.

Time: everything happens in Client.poll(), which never blocks, and in what calls it: connect(), wait(), turn(),
Producer.send(), Producer.flush(), Consumer.messages(). In an event loop of one's own: Client.fileno() is readable
when there is something to do; call turn() then and before each sleep. With asyncio: `async for message in consumer`
and `await producer.flush_async()`.

Results that are no success are exceptions named after them: kaelix.BackPressured, kaelix.UnknownTopic, kaelix.Lost,
..., all of them kaelix.Error with .result ("LOST") and .code (the broker's reason, 0: none).
"""

import collections
import ctypes
import os
import socket
import time
from ctypes import byref, c_char_p, c_int, c_uint8, c_uint32, c_void_p

from kaelix_c import (EVENT_FN, TOPICS_FN, kx_addr, kx_client_info, kx_client_opts, kx_completion, kx_consumer_opts,
                      kx_header_view, kx_key, kx_message, kx_polled, kx_producer_opts, kx_text, kx_udp_client)
from kaelix_c import lib as _lib

__all__ = ["ALL", "AUTO", "EARLIEST", "NOW", "Client", "Completion", "Consumer", "Error", "Event", "Message",
           "Producer", "RESULTS"]

ALL = -1  # every partition
AUTO = -1  # by key; without a key in turn, a batch at a time
EARLIEST = 2**64 - 1
NOW = 2**64 - 2
MEMORY, WRITTEN, SYNCED, REPLICATED = 1, 2, 3, 4  # levels of durability
PLAIN, MAC, AEAD = 0, 1, 2  # protection of frames
PRINCIPAL_BYTES_MAX = 63


def _names(function):
    """Names of an enum, by number, as the library has them."""
    names, number = {}, 0
    while number < 256:
        name = function(number).decode()
        if name == "?" and number > 0:
            break
        names[number] = name
        number += 1
    return names


RESULTS = _names(_lib.kx_result_name)
_EVENTS = _names(_lib.kx_event_name)
_OK = 0


class Error(Exception):
    """A result that is no success."""

    def __init__(self, number, code=0, what=""):
        self.result = RESULTS.get(number, str(number))
        self.code = code
        text = _lib.kx_code_text(code).decode() if code else _lib.kx_result_text(number).decode()
        super().__init__(f"{what}: {text}" if what else text)


def _camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


_errors = {number: type(_camel(name), (Error,), {"__doc__": _lib.kx_result_text(number).decode(), "__module__": __name__})
           for number, name in RESULTS.items() if number != _OK}
globals().update({e.__name__: e for e in _errors.values()})
__all__ += [e.__name__ for e in _errors.values()]
_number = {name: number for number, name in RESULTS.items()}


def _error(number, code=0, what=""):
    return _errors.get(number, Error)(number, code, what)


def _check(number, what=""):
    if number != _OK:
        raise _error(number, 0, what)


Event = collections.namedtuple("Event", "type result code partition count first last producer consumer")
Event.__doc__ = """What happened: type ("CONNECTED", "OFFSET_TRIMMED", ...), result ("OK", ...), see kx_client.h."""
Completion = collections.namedtuple(
    "Completion", "result code partition first_seq count next_offset offset_exact level user sent_ns")
Completion.__doc__ = """A batch left the send buffer; result "OK": it is confirmed at `level`."""


class Message(collections.namedtuple("Message", "partition offset key value headers timestamp_ns append_time_ns")):
    """A message: bytes and numbers; key None without, headers a list of (name, value)."""
    __slots__ = ()


def _port(number, broker):
    """A UDP port, from a number or its text; ctypes would take any number modulo 65536."""
    text = str(number)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise ValueError(f"{broker}: the port is {text!r}; it has to be a number from 1 to 65535")
    return int(text)


def _resolve(broker):
    addr, port = kx_addr(), 9000
    if isinstance(broker, tuple):
        if len(broker) != 2:
            raise ValueError(f"{broker}: not a host and a port")
        text, port = broker[0], _port(broker[1], broker)
    else:
        text = broker
    if text == "" or "\0" in text:
        raise ValueError(f"{broker!r}: not an address, and no name of a host")
    if _lib.kx_addr_parse(text.encode(), port, byref(addr)) == 0:
        return addr
    host, colon, number = text.rpartition(":")
    if colon:
        port = _port(number, broker)
    else:
        host = text
    if host == "":
        raise ValueError(f"{broker}: there is no host before the port")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except UnicodeError:
        raise ValueError(f"{broker}: not an address, and no name of a host") from None
    if _lib.kx_addr_parse(found[4][0].encode(), port, byref(addr)) != 0:
        raise ValueError(f"{broker}: not an address")
    return addr


def _check_who(principal, key_file, protect):
    """What the library refuses as one EINVAL, in words."""
    if key_file is not None and not principal:
        raise ValueError("key_file needs principal, whose key it is")
    if protect not in (PLAIN, MAC, AEAD):
        raise ValueError(f"protect is {protect!r}; it has to be PLAIN, MAC or AEAD")
    if protect != PLAIN and key_file is None:
        raise ValueError("protect needs principal and key_file: there is nothing to protect with")
    if principal is not None and (len(principal.encode()) > PRINCIPAL_BYTES_MAX or "\0" in principal):
        raise ValueError(f"principal has to be a name of at most {PRINCIPAL_BYTES_MAX} bytes")


def _load_key(path):
    key, why = kx_key(), ctypes.create_string_buffer(512)
    text = kx_text(ctypes.cast(why, c_void_p), len(why))
    rc = _lib.kx_key_load(os.fsencode(path), byref(key), byref(text))
    if rc != 0:
        raise OSError(-rc, why.value.decode(errors="replace"), path)
    return key


def _ns(seconds):
    return 2**64 - 1 if seconds is None else max(0, int(seconds * 1e9))


class Client:
    """A connection to one broker over UDP. Opening it waits until it is connected (`connect=False`: does not)."""

    def __init__(self, broker, principal=None, key_file=None, protect=PLAIN, timeout=5.0, reconnect=True, on_event=None,
                 connect=True, **opts):
        """broker: "host", "host:port" or (host, port). on_event(Event) is called from poll(), after the library's
        turn: it may call anything. principal, key_file: who connects, and the file with its key (kaelix-cli keygen). protect: PLAIN,
        MAC or AEAD, at least. opts: further members of struct kx_client_opts by name."""
        _check_who(principal, key_file, protect)
        self.on_event = on_event
        self.producers, self.consumers = {}, {}
        self._events, self._waiters, self._failure, self._c = collections.deque(), [], None, None
        self._callback = EVENT_FN(self._on_event)
        o = kx_client_opts(broker=_resolve(broker), connect_timeout_ns=_ns(timeout), no_reconnect=not reconnect,
                           on_event=self._callback, protect=protect, channels_max=opts.pop("channels_max", 16), **opts)
        o.principal = principal.encode() if principal is not None else None
        key = _load_key(key_file) if key_file is not None else None
        if key is not None:
            o.key, o.key_bytes = ctypes.addressof(key), key.len
        c = kx_udp_client()
        rc = _lib.kx_client_connect_udp(byref(o), byref(c))  # copies the key
        if key is not None:
            _lib.kx_key_wipe(byref(key))
        if rc != 0:
            raise OSError(-rc, _lib.kx_strerror(rc).decode())
        self._c, self._hub, self._client = c, c.hub, c.client
        if connect:
            try:
                self.connect()
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self):
        """Wait until connected. Raises what the first attempt failed with."""
        self._until(lambda: self.connected, None)

    def close(self):
        """Close its producers and consumers (nothing is waited for: flush() before) and the connection."""
        c, self._c = self._c, None
        if c is None:
            return
        for child in [*self.producers.values(), *self.consumers.values()]:
            child._h = None
        _lib.kx_udp_client_close(byref(c))
        self._hub = self._client = None

    def _open(self):
        if self._c is None:
            raise _error(_number["CLOSED"], 0, "client")
        return self

    def _on_event(self, _user, event):
        e = event.contents
        self._events.append(Event(_EVENTS.get(e.type, str(e.type)), RESULTS.get(e.result, str(e.result)), e.code,
                                  e.partition, e.count, e.first, e.last, self.producers.get(e.producer),
                                  self.consumers.get(e.consumer)))

    def _tell(self, e):
        if e.type == "CONNECT_FAILED":
            self._failure = _error(_number[e.result], e.code, "connect")
        elif e.type == "CONNECTED":
            self._failure = None
        for child, failed in ((e.producer, "PRODUCER_FAILED"), (e.consumer, "CONSUMER_FAILED")):
            if child is not None and e.type == failed:
                child._failure = _error(_number[e.result], e.code, child.topic)
        if self.on_event is not None:
            self.on_event(e)

    def poll(self):
        """One bounded turn: receive, send, timers. Never blocks. Returns how much was done."""
        work = _lib.kx_hub_poll(self._open()._hub, _lib.kx_clock_mono_ns())
        while self._events:
            self._tell(self._events.popleft())
        return work

    def wait(self, timeout=None):
        """Sleep until there is something for poll() to do, wake() was called, or `timeout` seconds have passed."""
        _check(_lib.kx_hub_wait(self._open()._hub, _lib.kx_clock_mono_ns(), _ns(timeout)))

    def wake(self):
        """End the wait() of the client's thread, or its next. Any thread, while the client is open."""
        _lib.kx_hub_wake(self._open()._hub)

    def fileno(self):
        """A descriptor for select, epoll, asyncio: readable when turn() has something to do. Call turn() once before
        the first sleep and whenever it is readable, and arm() before a sleep if anything else was called."""
        fd = c_int(-1)
        _check(_lib.kx_hub_fd(self._open()._hub, byref(fd)))
        return fd.value

    def arm(self):
        """Tell the descriptor when it has to be readable. The last thing before a sleep."""
        self.fileno()
        _check(_lib.kx_hub_arm(self._hub, _lib.kx_clock_mono_ns()))

    def turn(self, limit=64):
        """poll() until there is nothing to do (or `limit` times), then arm()."""
        for _ in range(limit):
            if self.poll() == 0:
                break
        self.arm()

    def _until(self, done, timeout, failed=lambda: None):
        """Poll and sleep until done(). False: the time is up."""
        end = None if timeout is None else time.monotonic() + timeout
        while not done():
            error = self._failure or failed()
            if error is not None:
                raise error
            if self.poll() == 0:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self.wait(left if left is not None and left < 1 else 1)
        return True

    # asyncio: everybody who waits shares one reader

    def _readable(self):
        self.turn()
        waiters, self._waiters = self._waiters, []
        for w in waiters:
            if not w.done():
                w.set_result(None)

    async def wait_async(self, timeout=None):
        """Let others run until something happened here. Polls; look again afterwards."""
        import asyncio
        loop, fd = asyncio.get_running_loop(), self.fileno()
        future = loop.create_future()
        self.arm()
        self._waiters.append(future)
        loop.add_reader(fd, self._readable)
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            pass
        finally:
            if future in self._waiters:
                self._waiters.remove(future)
            if not self._waiters:
                loop.remove_reader(fd)

    @property
    def connected(self):
        return bool(_lib.kx_client_connected(self._open()._client))

    @property
    def info(self):
        """What the broker said of itself and of the session: a dict of struct kx_client_info."""
        info = kx_client_info()
        _lib.kx_client_info(self._open()._client, byref(info))
        return {name: getattr(info, name) for name, _ in kx_client_info._fields_}

    def topics(self, timeout=5.0):
        """{name: partitions} of the topics this principal may see."""
        found, state = {}, []

        def page(_user, result, topics, count, last):
            found.update({topics[i].name.decode(): topics[i].partition_count for i in range(count)})
            if last:
                state.append(result)

        callback = TOPICS_FN(page)
        _check(_lib.kx_client_topics(self._open()._client, _ns(timeout), _lib.kx_clock_mono_ns(), callback, None))
        while not state:  # the request answers in any case, at the latest when its time is up
            if self.poll() == 0:
                self.wait(1)
        _check(state[0], "topics")
        return found

    def producer(self, topic, **opts):
        """Open a Producer; waits until it is ready. opts: as Producer."""
        return Producer(self, topic, **opts)

    def consumer(self, topic, **opts):
        """Open a Consumer; waits until it is ready. opts: as Consumer."""
        return Consumer(self, topic, **opts)


class _Child:
    """What producers and consumers share: a handle of the client, opened and closed."""

    def __init__(self, client, topic, open_fn, opts, timeout):
        h = c_void_p()
        self.client, self.topic, self._h, self._failure = client, topic, None, None
        _check(open_fn(client._open()._client, byref(opts), _lib.kx_clock_mono_ns(), byref(h)), topic)
        self._h = h.value
        self._table[self._h] = self
        try:
            if not client._until(self._ready, timeout, lambda: self._failure):
                raise _error(_number["TIMED_OUT"], 0, topic)
        except BaseException:
            self._close()
            raise

    def _open(self):
        if self._h is None:
            raise _error(_number["CLOSED"], 0, self.topic)
        return self._h

    def _close(self):
        h, self._h = self._h, None
        if h is not None and self.client._c is not None:
            self._table.pop(h, None)
            _check(self._close_fn(h, _lib.kx_clock_mono_ns()))

    def __enter__(self):
        return self


class Producer(_Child):
    """Sends messages to a topic. Use as a context manager: flush() at its end, unless an exception ends it."""

    _close_fn = staticmethod(_lib.kx_producer_close)
    _BATCH = 64

    def __init__(self, client, topic, linger=0.001, level=0, large_bytes=0, on_complete=None, timeout=5.0, **opts):
        """linger: seconds a message may wait for others of its batch. level: durability to wait for (0: the topic's).
        large_bytes: memory for messages larger than a datagram. on_complete(Completion): for each batch, called from
        send(), flush() and completions(). opts: further members of struct kx_producer_opts by name."""
        self.on_complete = on_complete
        self.failed = None  # what the first failure since the last flush() was, and how many messages failed since
        self._lost, self._lost_of = 0, set()
        self._table = client.producers
        self._done = (kx_completion * self._BATCH)()
        o = kx_producer_opts(topic=topic.encode(), linger_ns=_ns(linger), level=level, large_bytes=large_bytes,
                             polled=True, **opts)
        super().__init__(client, topic, _lib.kx_producer_open, o, timeout)

    def _ready(self):
        return self.partitions > 0

    @property
    def partitions(self):
        return _lib.kx_producer_partitions(self._open())

    @property
    def pending(self):
        """Messages taken and not completed yet."""
        return _lib.kx_producer_pending(self._open())

    def confirmed(self, partition, level=MEMORY):
        """Sequences of a partition below this are confirmed at `level` or higher."""
        return _lib.kx_producer_confirmed(self._open(), partition, level)

    def completions(self):
        """What has completed since the last look: a list of Completion. Failures are also kept for flush()."""
        found = []
        while True:
            n = _lib.kx_producer_poll(self._open(), self._done, self._BATCH)
            for c in self._done[:n]:
                one = Completion(RESULTS.get(c.result, str(c.result)), c.code, c.partition, c.first_seq, c.count,
                                 c.next_offset, bool(c.offset_exact), c.level, c.user, c.sent_ns)
                if c.result != _OK:
                    self._fail(c)
                found.append(one)
                if self.on_complete is not None:
                    self.on_complete(one)
            if n < self._BATCH:
                return found

    def _fail(self, c):
        self._lost += c.count
        self._lost_of.add(c.partition)
        number, code = (c.result, c.code) if self.failed is None else (_number[self.failed.result], self.failed.code)
        messages = f"{self._lost} message{'s' if self._lost != 1 else ''}"
        partitions = f"partition{'s' if len(self._lost_of) != 1 else ''} {', '.join(map(str, sorted(self._lost_of)))}"
        self.failed = _error(number, code, f"{self.topic}: {messages} of {partitions}")

    def try_send(self, value, key=None, partition=AUTO, headers=(), timestamp_ns=0, stream_key=0, user=0):
        """Append a message to the open batch of its partition; never blocks or polls. Raises BackPressured, NotConnected,
        NotReady (nothing was taken: try again later), TooLarge, UnknownPartition, ..."""
        views = (kx_header_view * len(headers))() if headers else None
        keep = [value, key]
        for view, (name, content) in zip(views or (), headers):
            name = name.encode() if isinstance(name, str) else name
            keep += [name, content]
            view.name, view.name_bytes = ctypes.cast(c_char_p(name), c_void_p), len(name)
            view.value, view.value_bytes = ctypes.cast(c_char_p(content), c_void_p), len(content)
        m = kx_message(value=ctypes.cast(c_char_p(value), c_void_p), value_bytes=len(value), partition=partition,
                       header_count=len(headers), headers=views, timestamp_ns=timestamp_ns, stream_key=stream_key, user=user)
        if key is not None:
            m.key, m.key_bytes = ctypes.cast(c_char_p(key), c_void_p), len(key)
        r = _lib.kx_producer_send(self._open(), byref(m), _lib.kx_clock_mono_ns())
        del keep
        _check(r, self.topic)

    def send(self, value, timeout=None, **message):
        """try_send() that waits while there is no room or no connection (`timeout` seconds, None: as long as it takes;
        then TimedOut)."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self.try_send(value, **message)
            except (BackPressured, NotConnected, NotReady):  # noqa: F821 made above, from the library's list
                self.completions()
                if self._failure is not None:
                    raise self._failure from None
                if end is not None and time.monotonic() >= end:
                    raise _error(_number["TIMED_OUT"], 0, self.topic) from None
                if self.client.poll() == 0:
                    self.client.wait(0.1)

    def fit(self, value_bytes):
        """Messages of this size that fit one batch."""
        return _lib.kx_producer_fit(self._open(), value_bytes)

    def claim(self, partition, value_bytes, count, stream_key=0):
        """The fast way: memoryviews of `count` values of one batch, to be filled before commit() or cancel()."""
        values, stride = c_void_p(), c_uint32()
        _check(_lib.kx_producer_claim(self._open(), partition, stream_key, value_bytes, count, byref(values), byref(stride)),
               self.topic)
        return [memoryview((c_uint8 * value_bytes).from_address(values.value + i * stride.value)).cast("B")
                for i in range(count)]

    def commit(self, user=0):
        """Finish what was claimed; it leaves with the next poll(). Its views are not to be used any more."""
        _check(_lib.kx_producer_commit(self._open(), user, _lib.kx_clock_mono_ns()), self.topic)

    def cancel(self):
        _lib.kx_producer_cancel(self._open())

    def _settled(self):
        self.completions()
        return self.pending == 0

    def _outcome(self):
        self.completions()
        failed, self.failed, self._lost, self._lost_of = self.failed, None, 0, set()
        if failed is not None:
            raise failed

    def flush(self, timeout=None):
        """Send what is open and wait until everything is confirmed. Raises what the first failure since the last flush()
        failed with, and says how many messages failed since; TimedOut when messages are still pending after `timeout` seconds."""
        _lib.kx_producer_flush(self._open(), _lib.kx_clock_mono_ns())
        if not self.client._until(self._settled, timeout, lambda: self._failure):
            raise _error(_number["TIMED_OUT"], 0, f"{self.topic}: {self.pending} messages are not confirmed yet")
        self._outcome()

    async def flush_async(self):
        """flush() for asyncio."""
        _lib.kx_producer_flush(self._open(), _lib.kx_clock_mono_ns())
        self.client.turn()
        while not self._settled():
            if self._failure is not None:
                raise self._failure
            await self.client.wait_async()
        self._outcome()

    def close(self):
        """Without flush(): what is pending is given up."""
        self._close()

    def __exit__(self, kind, *_):
        try:
            if kind is None and self._h is not None:
                self.flush()
        finally:
            self.close()


class Consumer(_Child):
    """Receives messages of a topic: next(), messages(), or `async for`."""

    _close_fn = staticmethod(_lib.kx_consumer_close)

    def __init__(self, client, topic, partition=ALL, start=NOW, manual_ack=False, timeout=5.0, **opts):
        """start: EARLIEST, NOW or an offset, in each partition. manual_ack: ack() says what is done with. opts: further
        members of struct kx_consumer_opts by name."""
        self._table = client.consumers
        self._polled = kx_polled()
        opts.setdefault("window_bytes", 256 << 10)
        o = kx_consumer_opts(topic=topic.encode(), partition=partition, start_offset=start, polled=True,
                             manual_ack=manual_ack, **opts)
        super().__init__(client, topic, _lib.kx_consumer_open, o, timeout)

    def _ready(self):
        return self.partitions > 0

    @property
    def partitions(self):
        """How many it receives from; 0 while they are being subscribed."""
        return _lib.kx_consumer_partitions(self._open())

    def next(self):
        """The next message that is there, or None; never blocks or polls."""
        p = self._polled
        r = _lib.kx_consumer_poll(self._open(), _lib.kx_clock_mono_ns(), byref(p))
        if r == _number["EMPTY"]:
            if self._failure is not None:
                raise self._failure
            return None
        _check(r, self.topic)
        record, headers, view = p.record, [], kx_header_view()
        for i in range(record.header_count):
            if _lib.kx_record_header(byref(record), i, byref(view)):
                headers.append((ctypes.string_at(view.name, view.name_bytes),
                                ctypes.string_at(view.value, view.value_bytes)))
        return Message(p.partition, p.offset, ctypes.string_at(record.key, record.key_bytes) if record.key else None,
                       ctypes.string_at(record.value, record.value_bytes), headers, record.timestamp_ns, p.append_time_ns)

    def messages(self, timeout=None, count=None):
        """Messages as they come, until none came for `timeout` seconds or `count` have come."""
        while count is None or count > 0:
            m = self.next()
            if m is None:
                box = []
                self.client._until(lambda: box or box.extend(filter(None, [self.next()])) or box, timeout)
                if not box:
                    return
                m = box[0]
            if count is not None:
                count -= 1
            yield m

    def __iter__(self):
        return self.messages()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            m = self.next()
            if m is not None:
                return m
            await self.client.wait_async()

    def seek(self, offset, partition=ALL):
        """Go on at `offset` (or EARLIEST, NOW)."""
        _check(_lib.kx_consumer_seek(self._open(), partition, offset, _lib.kx_clock_mono_ns()), self.topic)

    def pause(self, partition=ALL):
        _check(_lib.kx_consumer_pause(self._open(), partition), self.topic)

    def resume(self, partition=ALL):
        _check(_lib.kx_consumer_resume(self._open(), partition, _lib.kx_clock_mono_ns()), self.topic)

    def ack(self, message=None, partition=None, offset=None):
        """With manual_ack: done with everything up to `message`, or with all offsets of `partition` below `offset`."""
        if message is not None:
            partition, offset = message.partition, message.offset + 1
        _check(_lib.kx_consumer_ack(self._open(), partition, offset, _lib.kx_clock_mono_ns()), self.topic)

    def position(self, partition):
        """Offset of the next message; None before it is subscribed."""
        offset = _lib.kx_consumer_position(self._open(), partition)
        return None if offset == 2**64 - 1 else offset

    def end(self, partition):
        """Highest offset + 1 known to exist."""
        return _lib.kx_consumer_end(self._open(), partition)

    def close(self):
        self._close()

    def __exit__(self, *_):
        self.close()
