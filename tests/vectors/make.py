#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden vectors of KXP version 1, written from doc/protocol.md and not from the C code.

  make.py            write the .hex files, keys.txt, macs.txt and protected.txt beside this script
  make.py --check    exit 1 when a file here differs from what would be written
  make.py --corpus D write the frames as seed files of tests/fuzz/fuzz_frame.c into folder D

A .hex file: lines starting with '#' are comments, '%' lines are `% name value` (what a reader must find), the
rest is the frame in hexadecimal. Python 3, standard library only; CRC32C, the hashes and AES-256-GCM are its own.
"""
import hashlib
import hmac
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# ---- CRC32C, FNV-1a 64, fmix64

CRC_TABLE = []
for n in range(256):
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    CRC_TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


M64 = (1 << 64) - 1


def fmix64(x):
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & M64
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & M64
    return x ^ (x >> 33)


def stream_key(key):
    h = 0xCBF29CE484222325
    for byte in key:
        h = (h ^ byte) * 0x100000001B3 & M64
    return fmix64(h) or 1


def partition_index(stream, partitions):
    return fmix64(stream) * partitions >> 64


# ---- AES-256-GCM (FIPS 197, SP 800-38D)


def gf_mul(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def make_sbox():
    box = [0x63] * 256
    for x in range(1, 256):
        inverse = next(y for y in range(1, 256) if gf_mul(x, y) == 1)
        twice = inverse << 8 | inverse
        box[x] = (inverse ^ twice >> 7 ^ twice >> 6 ^ twice >> 5 ^ twice >> 4) & 0xFF ^ 0x63
    return box


SBOX = make_sbox()


def aes_round_keys(key):
    words = [key[i:i + 4] for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        last = words[-1]
        if i % 8 == 0:
            last = bytes(SBOX[b] for b in last[1:] + last[:1])
            last = bytes([last[0] ^ rcon]) + last[1:]
            rcon = gf_mul(rcon, 2)
        elif i % 8 == 4:
            last = bytes(SBOX[b] for b in last)
        words.append(bytes(a ^ b for a, b in zip(words[-8], last)))
    return [b''.join(words[i:i + 4]) for i in range(0, 60, 4)]


def aes_block(round_keys, block):
    state = [a ^ b for a, b in zip(block, round_keys[0])]
    for number, round_key in enumerate(round_keys[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < len(round_keys) - 1:
            state = [gf_mul(state[i], 2) ^ gf_mul(state[i - i % 4 + (i + 1) % 4], 3) ^
                     state[i - i % 4 + (i + 2) % 4] ^ state[i - i % 4 + (i + 3) % 4] for i in range(16)]
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def ghash(key, data):
    h, y = int.from_bytes(key, 'big'), 0
    for i in range(0, len(data), 16):
        x, v = y ^ int.from_bytes(data[i:i + 16], 'big'), h
        y = 0
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return y.to_bytes(16, 'big')


def gcm_seal(key, nonce, aad, text):
    keys = aes_round_keys(key)
    out = b''
    for i in range(0, len(text), 16):
        stream = aes_block(keys, nonce + struct.pack('>I', 2 + i // 16))
        out += bytes(a ^ b for a, b in zip(text[i:i + 16], stream))
    hashed = aad + bytes(-len(aad) % 16) + out + bytes(-len(out) % 16) + struct.pack('>QQ', 8 * len(aad), 8 * len(out))
    mask = aes_block(keys, nonce + struct.pack('>I', 1))
    return out, bytes(a ^ b for a, b in zip(ghash(aes_block(keys, bytes(16)), hashed), mask))


# ---- frames

CLIENT, BROKER = 'client', 'broker'
TYPES = {
    'HELLO': 0x01, 'COOKIE': 0x02, 'AUTH': 0x03, 'ACCEPT': 0x04, 'REFUSE': 0x05, 'RESET': 0x06, 'CLOSE': 0x07,
    'PING': 0x08, 'PONG': 0x09, 'HEARTBEAT': 0x0A, 'METADATA_REQ': 0x10, 'METADATA': 0x11, 'TOPICS_REQ': 0x12,
    'TOPICS': 0x13, 'SUBSCRIBE': 0x14, 'SUBSCRIBED': 0x15, 'UNSUBSCRIBE': 0x16, 'UNSUBSCRIBED': 0x17,
    'NOTICE': 0x18, 'NOT_OWNER': 0x19, 'PRODUCE_REFUSED': 0x1A, 'PRODUCE': 0x20, 'DELIVER': 0x21,
    'PRODUCE_FRAG': 0x22, 'DELIVER_FRAG': 0x23, 'RX_ACK': 0x28, 'COMMIT_ACK': 0x29, 'NAK': 0x2A, 'CREDIT': 0x2B,
    'RESUME': 0x30, 'RESUMED': 0x31, 'PATH_CHALLENGE': 0x34, 'PATH_RESPONSE': 0x35,
    'MTU_PROBE': 0x36, 'MTU_PROBED': 0x37,
}
CONN = 0x1122334455667788
PKT = 1000
FLOOR = 17
SUB = 0x5B
BOOT = 0xB007B007B0070001
TIME = 0x0102030405060708


def run(first, count):
    """`count` bytes first, first + 1, ..."""
    return bytes((first + i) & 0xFF for i in range(count))


CLIENT_NONCE = run(0x10, 16)
BROKER_NONCE = run(0x20, 16)
COOKIE = run(0x40, 32)
TICKET = run(0x80, 80)
MAC = run(0xD0, 32)


def pad(data, size):
    assert len(data) <= size
    return data + bytes(size - len(data))


def pad8(data):
    return data + bytes(-len(data) % 8)


def seal(kind, head, ext, body):
    """The check value: CRC32C over what the frame type covers, with the frame's length in the check field."""
    length = len(head) + len(ext) + len(body)
    covered = head[:4] + struct.pack('<I', length) + head[8:] + ext
    if kind in ('PRODUCE_FRAG', 'DELIVER_FRAG'):
        covered += body[:32]
    elif kind not in ('PRODUCE', 'DELIVER'):
        covered += body
    return head[:4] + struct.pack('<I', crc32c(covered)) + head[8:] + ext + body


def frame(kind, body, conn=CONN, pkt=PKT, floor=FLOOR, handle=0, flags=0, ext=b''):
    head = struct.pack('<BBBBIQQII', 1, TYPES[kind], flags, len(ext) // 8, 0, conn, pkt, floor, handle)
    return seal(kind, head, ext, body)


def setup(kind, body):
    return frame(kind, body, 0, 0, 0)


# ---- records and batches


def record(value, key=b'', timestamp=None, headers=()):
    flags, parts = 0, b''
    if timestamp is not None:
        flags |= 2
        parts += struct.pack('<Q', timestamp)
    if key:
        flags |= 1
        parts += pad8(key)
    if headers:
        flags |= 4
        listed = b''.join(struct.pack('<HH', len(n), len(v)) + n + v for n, v in headers)
        parts += pad8(struct.pack('<II', 8 + len(listed), 0) + listed)
    return struct.pack('<IHBB', len(value), len(key), flags, len(headers)) + parts + pad8(value)


def batch(records, partition=6, producer=0xABCDEF, epoch=3, seq=4000, stream=0, stamp=None):
    body = b''.join(records)
    size = 72 + len(body)
    tail = struct.pack('<IBBHIQIIQQ', size, 1, 0, len(records), partition, producer, epoch, 0, seq, stream) + body
    data_crc = crc32c(tail)
    if stamp is None:
        return struct.pack('<IIQQI', 0, 0, 0, 0, data_crc) + tail
    offset, log_epoch, time_ns = stamp
    assigned = struct.pack('<IQQI', log_epoch, offset, time_ns, data_crc)
    return struct.pack('<I', crc32c(assigned + tail[:4])) + assigned + tail


STAMP = (70000, 2, 1700000000123456789)
PLAIN = [record(run(i, 64)) for i in range(17)]
FULL = [
    record(b'value only'),
    record(b'', key=b'k'),
    record(run(1, 8), key=b'order-42'),
    record(run(2, 13), timestamp=1700000000000000001),
    record(run(3, 21), headers=[(b'trace', b'0123456789abcdef'), (b'n', b'')]),
    record(run(4, 100), key=b'customer/7', timestamp=1700000000000000002,
           headers=[(b'h%02d' % i, run(i, i)) for i in range(16)]),
    record(b''),
]
BIG = batch([record(run(7, 1500), key=b'large')], seq=77, stream=5)
BIG_STAMPED = batch([record(run(7, 1500), key=b'large')], seq=77, stream=5, stamp=STAMP)


def frag(whole, part, offset, first):
    piece = whole[offset:offset + part]
    return struct.pack('<IIIIQII', 6, len(whole), offset, len(piece), first, crc32c(piece), part) + piece


def receipt(next_pkt=900, largest=950, limit_pkt=2000, limit_bytes=1 << 33, delay=12345, ranges=0, blocked=0, entries=0):
    return struct.pack('<QQQQIBBH', next_pkt, largest, limit_pkt, limit_bytes, delay, ranges, blocked, entries)


def auth(method, principal=b'', mac=bytes(32), ticket=bytes(80), datagram=1372, protect=0, producer=0):
    body = CLIENT_NONCE + COOKIE + BROKER_NONCE + struct.pack('<BBHB3x', method, len(principal), datagram, protect)
    return setup('AUTH', pad(body + mac + ticket + pad(principal, 64) + struct.pack('<Q', producer), 480))


def vectors():
    """name -> (side, comment, frame, expected)"""
    out = {}

    def add(name, side, comment, data, **expected):
        assert len(data) % 8 == 0
        out[name] = (side, comment, data, expected)

    def empty(name):
        return pad(name, 64)

    add('hello', CLIENT, 'HELLO, versions 1 to 1', setup('HELLO', pad(
        CLIENT_NONCE + struct.pack('<BB6xQ', 1, 1, TIME), 480)))
    add('cookie', BROKER, 'COOKIE', setup('COOKIE', CLIENT_NONCE + COOKIE + BROKER_NONCE +
                                          struct.pack('<QQ', TIME, BOOT)))
    add('auth_none', CLIENT, 'AUTH, method none, with a principal', auth(0, b'alice'))
    add('auth_hmac', CLIENT, 'AUTH, method HMAC-SHA256, going on as producer 0xABCDEF', auth(
        1, b'alice', mac=MAC, protect=2, producer=0xABCDEF))
    add('auth_ticket', CLIENT, 'AUTH, method ticket: a further channel', auth(
        2, b'alice', mac=MAC, ticket=TICKET, datagram=8972, protect=1))
    add('accept', BROKER, 'ACCEPT', setup('ACCEPT', CLIENT_NONCE + struct.pack(
        '<QQQIIHHHHIIQQBB6x', CONN, BOOT, 0xABCDEF, 3, 9, 9000, 4, 1, 1372, 30000, 250, 257, 1 << 20, 1, 2) + TICKET +
        MAC + struct.pack('<II', 5, 0)))
    add('refuse_setup', BROKER, 'REFUSE in set-up: table full', setup(
        'REFUSE', CLIENT_NONCE + struct.pack('<II', 2, 0) + MAC))
    add('refuse_request', BROKER, 'REFUSE of a request in a session', frame(
        'REFUSE', bytes(16) + struct.pack('<II', 13, 77) + bytes(32)))
    add('reset', BROKER, 'RESET', frame('RESET', struct.pack('<QQ', BOOT, 4711), CONN, 0, 0))
    add('close', CLIENT, 'CLOSE, leaving', frame('CLOSE', struct.pack('<II', 0, 0)))
    add('close_broker', BROKER, 'CLOSE, stopping', frame('CLOSE', struct.pack('<II', 11, 0)))
    add('ping', CLIENT, 'PING', frame('PING', struct.pack('<QQ', 0xFEED, TIME)))
    add('pong', BROKER, 'PONG', frame('PONG', struct.pack('<QQIHH', 0xFEED, TIME, 1500, 3, 0)))
    add('heartbeat_client', CLIENT, 'HEARTBEAT of a client', frame('HEARTBEAT', receipt()))
    add('heartbeat_broker', BROKER, 'HEARTBEAT of a broker, two subscriptions', frame(
        'HEARTBEAT', receipt(entries=2) + struct.pack('<IIQ', SUB, 2, 70017) + struct.pack('<IIQ', 0x5C, 1, 5)))
    add('metadata_req', CLIENT, 'METADATA_REQ', frame(
        'METADATA_REQ', struct.pack('<IHBB', 77, 2, 6, 0) + empty(b'orders')))
    add('metadata', BROKER, 'METADATA, partitions 2 and 3 of 4', frame('METADATA', struct.pack(
        '<IIHHHBBII', 77, 0, 4, 2, 2, 1, 1, 1 << 20, 9) + b''.join(struct.pack(
            '<IHHIIQQQ', 6 + i, 9000 + i % 4, i, 2, 0, 10, 20, 30 + i) for i in (2, 3))))
    add('metadata_unknown', BROKER, 'METADATA, unknown topic', frame('METADATA', struct.pack(
        '<IIHHHBBII', 78, 4, 0, 0, 0, 0, 0, 0, 9)))
    add('topics_req', CLIENT, 'TOPICS_REQ', frame('TOPICS_REQ', struct.pack('<II', 79, 0)))
    add('topics', BROKER, 'TOPICS, two of three', frame('TOPICS', struct.pack('<IIII', 79, 3, 0, 2) + b''.join(
        struct.pack('<HBB3xB', parts, dur, over, len(name)) + empty(name)
        for parts, dur, over, name in ((4, 1, 1, b'orders'), (1, 3, 0, b't' * 63)))))
    add('subscribe', CLIENT, 'SUBSCRIBE from the earliest offset', frame('SUBSCRIBE', struct.pack(
        '<IIQQII', 80, 6, M64, 1 << 20, SUB, 0)))
    add('subscribed', BROKER, 'SUBSCRIBED', frame('SUBSCRIBED', struct.pack('<IIIIIIQQ', 80, 0, SUB, 6, 2, 0, 10, 32)))
    add('unsubscribe', CLIENT, 'UNSUBSCRIBE', frame('UNSUBSCRIBE', struct.pack('<II', 81, SUB)))
    add('unsubscribed', BROKER, 'UNSUBSCRIBED', frame('UNSUBSCRIBED', struct.pack('<II', 81, SUB)))
    add('notice', BROKER, 'NOTICE, OFFSET_TRIMMED', frame('NOTICE', struct.pack('<IIQ', 1, 2, 70000), handle=SUB))
    add('not_owner', BROKER, 'NOT_OWNER', frame('NOT_OWNER', struct.pack('<QIHH', 990, 6, 9002, 0)))
    add('produce_refused', BROKER, 'PRODUCE_REFUSED, too large', frame('PRODUCE_REFUSED', struct.pack(
        '<QIIQQ', 990, 6, 9, 4000, 1 << 20)))
    add('produce', CLIENT, 'PRODUCE, one batch of 17 records of 64 bytes', frame(
        'PRODUCE', batch(PLAIN, stream=9), flags=4), batches=1, records=17)
    add('produce_full', CLIENT, 'PRODUCE, one batch whose records have every optional part', frame(
        'PRODUCE', batch(FULL)), batches=1, records=len(FULL))
    add('produce_two', CLIENT, 'PRODUCE, two batches of two partitions', frame('PRODUCE', batch(
        [record(b'first')], 6, stream=1) + batch([record(b'second'), record(b'third')], 7, seq=0)), batches=2, records=3)
    add('produce_ext', CLIENT, 'PRODUCE behind two ignorable extensions', frame('PRODUCE', batch([record(b'x')]),
        ext=struct.pack('<BBBBI', 200, 1, 1, 0, 5) + struct.pack('<BBBBIQ', 201, 2, 1, 0, 6, 7)), batches=1, records=1)
    add('deliver', BROKER, 'DELIVER, one batch of 17 records of 64 bytes', frame(
        'DELIVER', batch(PLAIN, stream=9, stamp=STAMP), handle=SUB), batches=1, records=17)
    add('deliver_full', BROKER, 'DELIVER, two batches of one partition with every optional part', frame(
        'DELIVER', batch([record(b'before')], stream=3, stamp=(69999, 2, STAMP[2])) + batch(FULL, seq=4001, stamp=STAMP),
        handle=SUB), batches=2, records=1 + len(FULL))
    add('produce_frag', CLIENT, 'PRODUCE_FRAG, second part of three', frame('PRODUCE_FRAG', frag(BIG, 600, 600, 77)))
    add('deliver_frag', BROKER, 'DELIVER_FRAG, last part of three', frame(
        'DELIVER_FRAG', frag(BIG_STAMPED, 600, 1200, STAMP[0]), handle=SUB))
    add('rx_ack', BROKER, 'RX_ACK, three ranges', frame('RX_ACK', receipt(ranges=3) + b''.join(
        struct.pack('<II', a, n) for a, n in ((1, 4), (6, 1), (40, 11)))))
    add('rx_ack_client', CLIENT, 'RX_ACK of a client, nothing missing', frame('RX_ACK', receipt(951, 950)))
    add('commit_ack', BROKER, 'COMMIT_ACK, two partitions', frame('COMMIT_ACK', receipt(entries=2, blocked=1) + b''.join(
        struct.pack('<IB3xIIQQ', 6 + i, 1 + i, 2, 3, 4017, 70017) for i in range(2))))
    add('nak', BROKER, 'NAK of packets, two ranges', frame('NAK', struct.pack('<II', 2, 0) + struct.pack(
        '<IIQQ', 0, 0, 900, 900) + struct.pack('<IIQQ', 0, 0, 905, 910)))
    add('nak_client', CLIENT, 'NAK of offsets and of bytes of a large batch', frame('NAK', struct.pack('<II', 2, 0) + struct.pack(
        '<IIQQ', SUB, 1, 70000, 70016) + struct.pack('<IIQII', SUB, 2, 70017, 600, 1200)))
    add('credit', CLIENT, 'CREDIT, two subscriptions', frame('CREDIT', receipt(entries=2) + b''.join(
        struct.pack('<IIQQQ', SUB + i, 0, 70000 + i, 1 << 24, 69990 + i) for i in range(2))))
    add('resume', CLIENT, 'RESUME, two partitions', frame('RESUME', struct.pack(
        '<QQIIII', BOOT, 0xABCDEF, 3, 82, 2, 0) + b''.join(
            struct.pack('<IIQQII', 6 + i, 2, 4000 + i, 70000 + i, 1, 0) for i in range(2))))
    add('resumed', BROKER, 'RESUMED, stored so far, lost, unknown', frame('RESUMED', struct.pack('<II', 82, 3) + b''.join(
        struct.pack('<IIQQ', *entry) for entry in ((6, 0, 4017, 70017), (7, 18, 0, 0), (8, 19, 0, 0)))))
    add('path_challenge', BROKER, 'PATH_CHALLENGE', frame('PATH_CHALLENGE', run(0x60, 32)))
    add('path_response', CLIENT, 'PATH_RESPONSE', frame('PATH_RESPONSE', run(0x60, 32)))
    add('mtu_probe', CLIENT, 'MTU_PROBE of 1472 bytes', frame('MTU_PROBE', pad(struct.pack('<HHI', 1472, 1372, 0), 1440)))
    add('mtu_probed', BROKER, 'MTU_PROBED, as large', frame('MTU_PROBED', pad(struct.pack('<HHI', 1472, 1372, 0), 1440)))
    return out


# ---- protected frames

SECRET = run(0xA0, 32)


def protect(data, side, mode):
    """A plain frame as it goes out of a session with protected frames."""
    label = b'KXP1 c2b' if side == CLIENT else b'KXP1 b2c'
    conn, pkt = struct.unpack('<QQ', data[8:24])
    key = hmac.new(SECRET, label.ljust(16, b'\0') + struct.pack('<Q', conn), hashlib.sha256).digest()
    head = 32 + 8 * data[3] if mode == 'aead' else len(data)
    aad = data[:2] + bytes([data[2] | (2 if mode == 'aead' else 1)]) + data[3:4] + bytes(4) + data[8:head]
    text, tag = gcm_seal(key, struct.pack('<Q', pkt) + bytes(4), aad, data[head:])
    return aad + text + tag


def protected_text():
    frames = vectors()
    lines = ['# KXP 1: protected frames. Session secret, then: name of the plain frame (its .hex), mode, the frame as sent',
             'secret ' + SECRET.hex()]
    for name in ('ping', 'pong', 'produce', 'produce_ext', 'deliver', 'path_challenge'):
        side, _, data, _ = frames[name]
        for mode in ('mac', 'aead'):
            lines.append('%s %s %s' % (name, mode, protect(data, side, mode).hex()))
    return '\n'.join(lines) + '\n'


# ---- files

KEYS = [b'', b'a', b'b', b'order-42', b'customer/7', 'Schl\u00fcssel'.encode(), b'\x00', b'\xff' * 8, b'k' * 100]
NUMERIC = [1, 2, 3, 9, 0x1122334455667788, M64]
PARTITIONS = [1, 2, 3, 7, 16, 200, 1000]


def hex_text(data):
    return '\n'.join(data[i:i + 32].hex() for i in range(0, len(data), 32)) + '\n'


def vector_text(name, side, comment, data, expected):
    kind = {v: k for k, v in TYPES.items()}[data[1]]
    conn, pkt, floor, handle = struct.unpack('<QQII', data[8:32])
    lines = ['# KXP 1: ' + comment]
    for key, value in [('from', side), ('type', kind), ('bytes', len(data)), ('conn_id', conn), ('pkt_no', pkt),
                       ('floor_delta', floor), ('handle', handle), ('body_bytes', len(data) - 32 - 8 * data[3])] + \
            sorted(expected.items()):
        lines.append('%% %s %s' % (key, value))
    return '\n'.join(lines) + '\n' + hex_text(data)


def keys_text():
    lines = ['# KXP 1: byte key -> stream key -> partition index among n partitions; "-" for a stream key without bytes',
             '# key stream_key ' + ' '.join('n=%d' % n for n in PARTITIONS)]
    rows = [(k.hex() or '""', stream_key(k)) for k in KEYS] + [('-', s) for s in NUMERIC]
    for key, stream in rows:
        lines.append('%s %016x %s' % (key, stream, ' '.join(str(partition_index(stream, n)) for n in PARTITIONS)))
    return '\n'.join(lines) + '\n'


def macs_text():
    """AUTH, the session secret, ACCEPT and REFUSE of section 3, with hmac of the standard library."""
    def mac(key, label, *parts):
        return hmac.new(key, label.ljust(16, b'\0') + b''.join(parts), hashlib.sha256).digest()

    lines = ['# KXP 1: key length, then key, AUTH body (256), session secret, accept key, ACCEPT body (208), REFUSE body (56)']
    for key_bytes, method in ((32, 1), (48, 1), (64, 2)):
        key = run(key_bytes, key_bytes)
        ticket = run(0x80, 80) if method == 2 else bytes(80)
        head = CLIENT_NONCE + run(0x30, 32) + BROKER_NONCE + struct.pack('<BBHB3x', method, 4, 1372, 1)
        tail = ticket + b'desk'.ljust(64, b'\0') + struct.pack('<Q', 0 if method == 2 else 4711)
        auth = head + mac(key, b'KXP1 auth', head, tail) + tail
        secret = mac(key, b'KXP1 session', CLIENT_NONCE, BROKER_NONCE)
        accept_key = mac(secret, b'KXP1 accept')
        body = CLIENT_NONCE + struct.pack('<QQQIIHHHHIIQQB7x', CONN, BOOT, 4711, 2, 1, 9000, 2, 1, 1372, 10000, 100,
                                          512, 1 << 20, 1) + run(0x40, 80)
        accept = body + hmac.new(accept_key, body, hashlib.sha256).digest() + struct.pack('<II', 1, 0)
        refuse_key = mac(secret, b'KXP1 refuse')
        refuse = CLIENT_NONCE + struct.pack('<II', 14, 0)
        refuse += hmac.new(refuse_key, refuse, hashlib.sha256).digest()
        assert len(auth) == 256 and len(accept) == 208 and len(refuse) == 56
        lines.append(' '.join([str(key_bytes)] + [x.hex() for x in (key, auth, secret, accept_key, accept, refuse)]))
    return '\n'.join(lines) + '\n'


def files():
    out = {name + '.hex': vector_text(name, *rest) for name, rest in vectors().items()}
    out['keys.txt'] = keys_text()
    out['protected.txt'] = protected_text()
    out['macs.txt'] = macs_text()
    return out


def main(argv):
    assert crc32c(b'123456789') == 0xE3069283
    assert aes_block(aes_round_keys(run(0, 32)), bytes.fromhex('00112233445566778899aabbccddeeff')).hex() == \
        '8ea2b7ca516745bfeafc49904b496089'  # FIPS 197, C.3
    assert gcm_seal(bytes(32), bytes(12), b'', b'')[1].hex() == '530f8afbc74536b9a963b4f1c4cb738b'  # GCM test case 13
    if len(argv) == 3 and argv[1] == '--corpus':
        os.makedirs(argv[2], exist_ok=True)
        seeds = {name: b'\x01' + data for name, (_, _, data, _) in vectors().items()}
        seeds['unrepaired'] = b'\x00' + vectors()['produce_two'][2]
        seeds['batch'] = b'\x03' + batch(FULL)
        for name, data in seeds.items():
            with open(os.path.join(argv[2], name), 'wb') as f:
                f.write(data)
        return 0
    if len(argv) == 2 and argv[1] == '--check':
        stale = [name for name, text in files().items()
                 if not os.path.exists(os.path.join(HERE, name)) or open(os.path.join(HERE, name)).read() != text]
        for name in stale:
            print('differs: tests/vectors/' + name, file=sys.stderr)
        return 1 if stale else 0
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    for name, text in files().items():
        with open(os.path.join(HERE, name), 'w') as f:
            f.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
