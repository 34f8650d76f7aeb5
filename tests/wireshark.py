#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Decode the golden vectors with tshark and tools/wireshark/kaelix.lua, and compare what it finds with the `%` lines
of the vectors, with the layouts in lib/wire/kx_wire.h and with the names in lib/wire/names.c.

  wireshark.py FOLDER     FOLDER is for captures
"""
import glob
import importlib.util
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True
from wire_header import c_codes, c_enum, c_structs  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, 'tools/wireshark/kaelix.lua')
wrong = []


def complain(text):
    wrong.append(text)
    print(text)


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def load_make():
    spec = importlib.util.spec_from_file_location('make', os.path.join(ROOT, 'tests/vectors/make.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()

# ---- what the C side says

def c_types():
    return set(re.findall(r'^\tNAME\((\w+)\)', read('lib/wire/names.c'), flags=re.M))


# ---- captures


def packet(payload, ports):
    udp = struct.pack('>HHHH', ports[0], ports[1], 8 + len(payload), 0) + payload
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0, b'\x0a\0\0\x01', b'\x0a\0\0\x02')
    return b'\x02\0\0\0\0\x02' + b'\x02\0\0\0\0\x01' + b'\x08\0' + ip + udp


def decode(folder, name, payloads, ports=(40000, 9000), options=()):
    """One list of (path of names, attributes) of our fields for each payload."""
    path = os.path.join(folder, name + '.pcap')
    with open(path, 'wb') as file:
        file.write(struct.pack('<IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, payload in enumerate(payloads):
            data = packet(payload, ports)
            file.write(struct.pack('<IIII', 1700000000 + i, 0, len(data), len(data)) + data)
    run = subprocess.run(['tshark', '-n', '-X', 'lua_script:' + SCRIPT, *options, '-r', path, '-T', 'pdml'],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    errors = [line for line in run.stderr.decode().splitlines() if 'superuser' not in line and 'as user "root"' not in line]
    if run.returncode != 0 or any('ua' in line or 'rror' in line for line in errors):
        complain('tshark, %s: exit %d: %s' % (name, run.returncode, '\n'.join(errors)))
    out = []
    for frame in ElementTree.fromstring(run.stdout).findall('packet'):
        ours = [proto for proto in frame.findall('proto') if proto.get('name') == 'kxp']
        out.append([element.attrib for proto in ours for element in proto.iter('field')])
    assert len(out) == len(payloads), (len(out), len(payloads))
    return out


def value(fields, name):
    for field in fields:
        if field.get('name') == name:
            return field.get('show')
    return None


def number(text):
    return None if text is None else int(text, 0)


# ---- checks


def read_vector(path):
    expected, data = {}, b''
    for line in read(path).splitlines():
        if line.startswith('%'):
            _, name, text = line.split()
            expected[name] = text
        elif not line.startswith('#'):
            data += bytes.fromhex(line)
    return expected, data


def check_expected(name, expected, fields):
    """The `%` lines."""
    for key, text in expected.items():
        if key == 'from':
            continue
        if key == 'type':
            shown = next((f.get('showname') for f in fields if f.get('name') == 'kxp.type'), '')
            if 'Type: %s (' % text not in shown:
                complain('%s: type is shown as "%s", not %s' % (name, shown, text))
            continue
        found = number(value(fields, 'kxp.' + key))
        if found is None and int(text) == 0 and key in ('batches', 'records'):
            continue
        if found != int(text):
            complain('%s: %s is %s, not %s' % (name, key, found, text))
    if number(value(fields, 'kxp.floor')) != int(expected['pkt_no']) - int(expected['floor_delta']):
        complain('%s: floor is %s' % (name, value(fields, 'kxp.floor')))
    for field in fields:
        if field.get('name') == '_ws.expert.message':
            complain('%s: tshark says: %s' % (name, field.get('show')))


def check_fields(name, data, fields, structs):
    """Every integer reads as its bytes; every structure has the C fields at their places."""
    base = min(int(f['pos']) for f in fields if f.get('name') == 'kxp.version')
    start = None
    seen = {}
    for f in fields:
        parts = f.get('name', '').split('.')
        if len(parts) != 3 or parts[0] != 'kxp' or parts[1] not in structs:
            continue
        layout, at, size = structs[parts[1]], int(f['pos']), int(f['size'])
        if parts[2] not in layout:
            complain('%s: %s is not in struct kx_%s' % (name, f['name'], parts[1]))
            continue
        offset, nbytes, elements = layout[parts[2]]
        if offset == 0:
            start = at
        # stringz: the field ends at its zero
        if at - start != offset or (size != nbytes and not (elements > 1 and size < nbytes)):
            complain('%s: %s at %d of %d bytes; in C at %d of %d' % (name, f['name'], at - start, size, offset, nbytes))
        if elements == 1 and parts[2] != 'zero' and parts[2] != 'zero2':
            wanted = int.from_bytes(data[at - base:at - base + nbytes], 'little')
            if number(f['show']) != wanted:
                complain('%s: %s is %s, not %d' % (name, f['name'], f['show'], wanted))
        seen.setdefault(parts[1], set()).add(parts[2])
    for struct_name, found in seen.items():
        for missing in set(structs[struct_name]) - found:
            complain('%s: kxp.%s.%s is not shown' % (name, struct_name, missing))
    return base


def check_covered(name, data, fields, base):
    """Every byte of the frame but padding inside records is shown."""
    covered = set()
    for f in fields:
        if '.' in f.get('name', '') and int(f.get('size', 0)) > 0 and f.get('hide') != 'yes':
            covered |= set(range(int(f['pos']) - base, int(f['pos']) - base + int(f['size'])))
    # A record's header entries have 4 bytes of lengths of which the tree shows what they say.
    bare = [i for i in range(len(data)) if i not in covered and data[i] != 0]
    lengths = 4 * sum(f.get('name') == 'kxp.record.header.name' for f in fields)
    if len(bare) > lengths:
        complain('%s: %d bytes are not shown, the first at %d' % (name, len(bare), bare[0]))


def check_vectors(folder):
    paths = sorted(glob.glob(os.path.join(ROOT, 'tests/vectors/*.hex')))
    vectors = [(os.path.basename(p)[:-4],) + read_vector(os.path.relpath(p, ROOT)) for p in paths]
    structs = c_structs()
    found = set()
    for side, ports in (('client', (40000, 9000)), ('broker', (9003, 40000))):
        mine = [v for v in vectors if v[1]['from'] == side]
        decoded = decode(folder, side, [v[2] for v in mine], ports, ('-o', 'kxp.data_crcs:TRUE'))
        for (name, expected, data), fields in zip(mine, decoded):
            if not fields:
                complain('%s: is not dissected' % name)
                continue
            check_expected(name, expected, fields)
            base = check_fields(name, data, fields, structs)
            check_covered(name, data, fields, base)
            found.add(expected['type'])
    for missing in sorted(c_types() - found):
        complain('%s is in lib/wire/names.c and in no vector' % missing)
    return vectors


def check_names(folder):
    """Each code and enumeration reads as in C."""
    pack = struct.pack
    tables = [
        ('kxp.refuse.code', c_codes(), lambda n: make.frame('REFUSE', bytes(16) + pack('<II', n, 1) + bytes(32))),
        ('kxp.receipt.blocked', c_enum('kx_blocked', 'KX_BLOCKED_'),
         lambda n: make.frame('RX_ACK', make.receipt(blocked=n))),
        ('kxp.auth.method', c_enum('kx_auth_method', 'KX_AUTH_'), make.auth),
        ('kxp.auth.protect', c_enum('kx_protect', 'KX_PROTECT_'),
         lambda n: make.setup('AUTH', make.auth(0)[32:100] + bytes([n]) + make.auth(0)[101:])),
        ('kxp.commit_entry.level', c_enum('kx_durability', 'KX_'), lambda n: make.frame(
            'COMMIT_ACK', make.receipt(entries=1) + pack('<IB3xIIQQ', 1, n, 1, 1, 1, 1))),
        ('kxp.nak_entry.kind', c_enum('kx_nak_kind', 'KX_NAK_'),
         lambda n: make.frame('NAK', pack('<IIIIQQ', 1, 0, 1, n, 1, 1))),
        ('kxp.notice.code', c_enum('kx_notice_code', 'KX_NOTICE_'),
         lambda n: make.frame('NOTICE', pack('<IIQ', n, 1, 1), handle=1)),
    ]
    for name, names, build in tables:
        numbers = sorted(names)
        if len(numbers) < 3:
            complain('%s: found only %d names in C' % (name, len(numbers)))
        for n, fields in zip(numbers, decode(folder, name, [build(n) for n in numbers])):
            shown = next((f.get('showname') for f in fields if f.get('name') == name), None)
            if shown is None or not shown.endswith(': %s (%d)' % (names[n], n)):
                complain('%s: %d is shown as "%s", not as %s' % (name, n, shown, names[n]))


def messages(fields):
    return [f.get('show') for f in fields if f.get('name') == '_ws.expert.message']


def check_broken(folder, vectors):
    """Cut short, flipped bits, other ports, protected frames."""
    frames = {name: data for name, _, data in vectors}
    flipped = bytearray(frames['ping'])
    flipped[40] ^= 1
    batch = bytearray(frames['produce'])
    batch[200] ^= 1
    for data, wanted in ((bytes(flipped), 'check value'), (bytes(batch), 'CRC'), (frames['credit'][:-8], 'counts')):
        found = messages(decode(folder, 'broken', [data], options=('-o', 'kxp.data_crcs:TRUE'))[0])
        if not any(wanted in text for text in found):
            complain('a broken frame: no word of "%s" but %s' % (wanted, found))
    everywhere = decode(folder, 'heuristic', [frames['ping'], frames['produce'], bytes(flipped)], (30000, 30001))
    if [bool(fields) for fields in everywhere] != [True, True, False]:
        complain('on other ports: %s' % [bool(fields) for fields in everywhere])
    # Every cut of a frame is dissected without a word of Lua's.
    for name in ('produce_full', 'metadata', 'deliver_frag', 'accept', 'nak'):
        decode(folder, 'cuts', [frames[name][:n] for n in range(1, len(frames[name]), 3)])


def check_protected(folder):
    body = struct.pack('<QQ', 0xFEED, 1)
    tag = bytes(range(16))
    head = bytearray(make.frame('PING', body)[:32])
    head[4:8] = bytes(4)
    for flag, ports in ((1, (40000, 9000)), (2, (40000, 9000)), (1, (30000, 30001)), (2, (30000, 30001))):
        head[2] = flag
        fields = decode(folder, 'protected', [bytes(head) + body + tag], ports)[0]
        shown = {f.get('name'): f.get('value', '') for f in fields}
        if shown.get('kxp.tag') != tag.hex():
            complain('protected, flag %d: tag is %s' % (flag, shown.get('kxp.tag')))
        if ('kxp.encrypted' in shown) != (flag == 2) or ('kxp.ping.token' in shown) != (flag == 1):
            complain('protected, flag %d: body is shown as %s' % (flag, sorted(shown)))
        if number(value(fields, 'kxp.body_bytes')) != len(body) or messages(fields):
            complain('protected, flag %d: %s, %s' % (flag, value(fields, 'kxp.body_bytes'), messages(fields)))


def main(folder):
    vectors = check_vectors(folder)
    check_names(folder)
    check_broken(folder, vectors)
    check_protected(folder)
    print('%d vectors of %d frame types, %d wrong' % (len(vectors), len(c_types()), len(wrong)))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
