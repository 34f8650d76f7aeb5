#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The structures of tools/python/kaelix_c.py are those of the C headers: the same members in the same order (read from the
headers), of the same sizes at the same places (said by a C program built here). From meson: CC is the compiler,
KAELIX_LIBRARY the library."""

import ctypes
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "python"))
sys.dont_write_bytecode = True
import kaelix  # noqa: E402
import kaelix_c  # noqa: E402

HEADERS = ["lib/base/kx_base.h", "lib/stats/kx_stats.h", "lib/wire/kx_wire.h", "lib/session/kx_session.h",
           "lib/client/kx_client.h", "drivers/transport/udp/kx_transport_udp.h"]
FUNCTION_HEADERS = "".join((ROOT / h).read_text() for h in HEADERS)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def members_in_c(name, text):
    """Names of the members of `struct name`, unions flattened, in order."""
    start = re.search(r"\bstruct %s\s*\{" % name, text)
    assert start, f"struct {name}: not in the headers"
    depth, at = 1, start.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    found = []
    for statement in text[start.end():at - 1].replace("union {", "").replace("}", "").split(";"):
        statement = statement.strip()
        function = re.search(r"\(\*(\w+)\)", statement)
        if function:
            found.append(function.group(1))
            continue
        for declarator in statement.split(","):
            last = re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", declarator.strip())
            found += last
    return found


def members_in_python(structure):
    names = []
    for field in structure._fields_:
        if field[0] in getattr(structure, "_anonymous_", []):
            names += [inner[0] for inner in field[1]._fields_]
        else:
            names.append(field[0])
    return names


def main():
    text = without_comments(FUNCTION_HEADERS)
    wrong = []
    program = ["#include <stdio.h>", "#include <stddef.h>", '#include "kx_transport_udp.h"', "int main(void)", "{"]
    for s in kaelix_c.STRUCTURES:
        in_c, in_python = members_in_c(s.__name__, text), members_in_python(s)
        if in_c != in_python:
            wrong.append(f"struct {s.__name__}: members in C {in_c}, in Python {in_python}")
        program.append(f'printf("{s.__name__} - 0 %zu\\n", sizeof(struct {s.__name__}));')
        for m in set(in_python) & set(in_c):
            program.append(f'printf("{s.__name__} {m} %zu %zu\\n", offsetof(struct {s.__name__}, {m}), '
                           f"sizeof(((struct {s.__name__} *)0)->{m}));")
    for constant in ("KX_PARTITION_ALL", "KX_PARTITION_AUTO", "KX_MEMORY", "KX_WRITTEN", "KX_SYNCED", "KX_REPLICATED",
                     "KX_PROTECT_PLAIN", "KX_PROTECT_MAC", "KX_PROTECT_AEAD"):
        python = getattr(kaelix, {"KX_PARTITION_ALL": "ALL", "KX_PARTITION_AUTO": "AUTO"}.get(constant, constant[3:].replace("PROTECT_", "")))
        program.append(f"if ({constant} != {python}) puts(\"{constant} differs 0 0\");")
    for constant, python in (("KX_OFFSET_EARLIEST", kaelix.EARLIEST), ("KX_OFFSET_NOW", kaelix.NOW)):
        program.append(f"if ({constant} != UINT64_C({python})) puts(\"{constant} differs 0 0\");")
    program += ["return 0;", "}", ""]
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
        source.write_text("\n".join(program))
        includes = [f"-I{ROOT / pathlib.Path(h).parent}" for h in HEADERS]
        subprocess.run([*os.environ.get("CC", "cc").split(), "-std=gnu11", "-D_GNU_SOURCE", *includes, "-o", str(binary),
                        str(source)], check=True)
        said = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout
    structures = {s.__name__: s for s in kaelix_c.STRUCTURES}
    lines = 0
    for line in said.splitlines():
        name, member, offset, size = line.split()
        s = structures.get(name)
        if s is None:
            wrong.append(line)
        elif member == "-":
            if ctypes.sizeof(s) != int(size):
                wrong.append(f"struct {name}: {size} bytes in C, {ctypes.sizeof(s)} in Python")
        elif (getattr(s, member).offset, getattr(s, member).size) != (int(offset), int(size)):
            wrong.append(f"struct {name}.{member}: {offset}+{size} in C, {getattr(s, member)} in Python")
        lines += 1
    for name in kaelix_c.FUNCTIONS:
        if not re.search(r"\b%s\(" % name, text):
            wrong.append(f"{name}(): not in the headers")
    for w in wrong:
        print("FAIL:", w)
    print(f"{len(structures)} structures, {lines} layouts compared, {len(wrong)} differ")
    return 1 if wrong or lines < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
