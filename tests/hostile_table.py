#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Does the table of bad input, tests/unit/hostile_fields.c, have a row for every field that a client sends? What a frame
type carries is taken from lib/wire: its rule in frame_check.c, and the structures its check looks at."""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True
from wire_header import ROOT, c_structs  # noqa: E402

# The fields of a frame header that no row can set: who tries them. (file, function), which has to name the field.
ELSEWHERE = {
    'type': ('test_hostile_fields.c', 'table_is_complete'),
    'flags': ('test_hostile_fields.c', 'flags_and_lengths'),
    'check': ('test_hostile_fields.c', 'flags_and_lengths'),
}
# Walked without a check function of their own.
BATCH = {'batch_hdr', 'record_hdr', 'rec_headers'}
# What a type carries only when a broker sends it.
BROKERS = {('HEARTBEAT', 'heartbeat_entry')}
# Bodies of several parts, which the table defines; and of them what is there to be left alone.
WHOLE = {'PRODUCE': 'produce_body', 'NAK': 'nak_body'}
UNTOUCHED = {('produce_body', 'plain_value'), ('produce_body', 'value'), ('nak_body', 'last')}


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)


def carried(structs):
    """type -> its structures, of each frame that lib/wire knows"""
    checks = {}
    for path in glob.glob(os.path.join(ROOT, 'lib/wire/*_check.c')):
        for name, body in re.findall(r'^enum kx_drop (wire_check_\w+)\([^)]*\)\n\{(.*?)^\}', read(path), re.S | re.M):
            checks[name] = set(re.findall(r'struct kx_(\w+)', body)) & set(structs)
    rules = re.search(r'wire_rule rules\[\] = \{(.*?)\n\};', read('lib/wire/frame_check.c'), re.S).group(1)
    out = {}
    for kind, check, rest in re.findall(r'\[KX_(\w+)\] = \{(\w+),(.*?)\}', rules, re.S):
        out[kind] = set(re.findall(r'sizeof\(struct kx_(\w+)\)', rest))
        out[kind] |= BATCH if kind in ('PRODUCE', 'DELIVER') else checks.get(check, set())
    return out


def local_structs(text):
    """name -> [(member, its structure or None)]"""
    out = {}
    for name, body in re.findall(r'^struct (\w+) \{(.*?)^\};', text, re.S | re.M):
        members = []
        for kind, names in re.findall(r'(struct \w+|uint\d+_t)\s+([^;]+);', body):
            for member in re.findall(r'(\w+)(?:\[\w+\])?(?:,|$)', names):
                members.append((member, kind[7:] if kind.startswith('struct ') else None))
        out[name] = members
    return out


def rows(text):
    """(type, part or '', structure, field)"""
    out = []
    receipt = re.search(r'#define RECEIPT\(type[^\n]*\n(.*?)\n\n', text, re.S).group(1)
    for kind in re.findall(r'^\tRECEIPT\(KX_(\w+),', text, re.M):
        out += [(kind, '', 'kx_receipt', field) for field in re.findall(r'BODY\(kx_receipt, (\w+)\)', receipt)]
    table = re.search(r'hostile_fields\[\] = \{(.*?)\n\};', text, re.S).group(1)
    for kind, macro, words in re.findall(r'\{(\w+),\s*"[^"]*",\s*([A-Z]+)\(([^()]*)\)', table):
        kind, words = kind.replace('KX_', ''), re.split(r',\s*', words)
        if macro in ('HEAD', 'EXT'):
            out.append((kind, '', 'kx_frame_hdr' if macro == 'HEAD' else 'kx_ext', words[0]))
        elif macro in ('BODY', 'BYTE'):
            out.append((kind, '', words[0], words[1]))
        else:
            out.append((kind, words[1] if macro == 'PART' else '', words[-2], words[-1]))
    return set(out)


def wanted(kind, structs, types, local):
    """Rows that a type must have; of a header's, any of those that stand for it."""
    for name in ('frame_hdr', 'ext'):
        for field in set(structs[name]) - (set(ELSEWHERE) if name == 'frame_hdr' else set()):
            yield '', 'kx_' + name, field
    if kind not in WHOLE:
        for name in types[kind] - {name for who, name in BROKERS if who == kind}:
            for field in structs[name]:
                yield '', 'kx_' + name, field
        return
    for place, (member, struct) in enumerate(local[WHOLE[kind]]):
        if (WHOLE[kind], member) in UNTOUCHED:
            continue
        if struct is None:
            yield '', WHOLE[kind], member
            continue
        fields = structs[struct[3:]] if struct.startswith('kx_') else dict(local[struct])
        for field in fields:
            yield member if place > 0 else '', struct, field


def main():
    wrong, count = [], 0
    structs, table = c_structs(), read('tests/unit/hostile_fields.c')
    types, local, have = carried(structs), local_structs(table), rows(table)
    listed = re.search(r'hostile_types\[\] = \{(.*?)\};', table, re.S).group(1)
    for kind in re.findall(r'KX_(\w+)', listed):
        stands_for = {kind, '0'} | ({'HOSTILE_SESSION'} if kind not in ('HELLO', 'AUTH') else set())
        for part, struct, field in wanted(kind, structs, types, local):
            count += 1
            if not any((who, part, struct, field) in have for who in stands_for):
                wrong.append('%s: no row for %s.%s%s' % (kind, struct, field, part and ' of ' + part))
        # what the parts of a body are made of is all that lib/wire looks at
        if kind in WHOLE:
            made = {struct for _, struct in local[WHOLE[kind]] if struct}
            wrong += ['%s: struct %s has no kx_%s' % (kind, WHOLE[kind], name)
                      for name in types[kind] if 'kx_' + name not in made]
    for name in set(structs) - set().union(*types.values()) - {'frame_hdr', 'ext'}:
        wrong.append('struct kx_%s is of no frame type that lib/wire/frame_check.c knows' % name)
    for field, (path, function) in ELSEWHERE.items():
        body = re.search(r'^static void %s\([^)]*\)\n\{(.*?)^\}' % function, read('tests/unit/' + path), re.S | re.M)
        if body is None or '->%s' % field not in body.group(1):
            wrong.append('%s in %s does not try %s' % (function, path, field))
    print('\n'.join(sorted(wrong)) if wrong else '%d fields, each has its row' % count)
    return 1 if wrong or count < 150 else 0


if __name__ == '__main__':
    sys.exit(main())
