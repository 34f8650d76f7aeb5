# SPDX-License-Identifier: BSD-3-Clause
"""What lib/wire/kx_wire.h says, for the tests that compare something with it: structures, enumerations, codes."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, 'lib/wire/kx_wire.h'), encoding='utf-8') as file:
    HEADER = re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)
SIZES = {'uint8_t': 1, 'uint16_t': 2, 'uint32_t': 4, 'uint64_t': 8}


def defines():
    found = re.findall(r'#define\s+(KX_\w+)\s+\(?(\d+)u?\)?\s*\n', HEADER)
    return {name: int(value) for name, value in found}


def c_structs():
    """name without kx_ -> {field: (offset, bytes, elements)}"""
    constants, out = defines(), {}
    for name, body in re.findall(r'struct kx_(\w+) \{(.*?)\n\};', HEADER, flags=re.S):
        fields, at = {}, 0
        if '*' in body:
            continue  # of the reader, not of the wire
        for kind, names in re.findall(r'(uint\d+_t)\s+([^;]+);', body):
            for field in re.split(r',\s*', names.strip()):
                match = re.match(r'(\w+)(?:\[(.+)\])?$', field)
                count = 1
                if match.group(2):
                    count = eval(match.group(2), {}, constants)  # noqa: S307 - our own header
                fields[match.group(1)] = (at, SIZES[kind] * count, count)
                at += SIZES[kind] * count
        out[name] = fields
    return out


def c_enum(name, prefix):
    body = re.search(r'enum %s \{(.*?)\}' % name, HEADER, flags=re.S).group(1)
    return {int(value, 0): key for key, value in re.findall(prefix + r'(\w+) = (\w+)', body)}


def c_codes():
    return {int(value): key for key, value in re.findall(r'X\((\w+), (\d+), "', HEADER)}
