#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Install into a private directory; build a program of a few lines with pkg-config against it, as C and C++; run it
# with the installed library against a broker on the loopback; the same over a DPDK port that nobody answers, with
# libkaelix-dpdk. From meson: KX_BUILD is the build tree, KX_DPDK=1 where libdpdk is there.
set -u
cd "$(dirname "$0")/.." || exit 2

cc=${CC:-cc}
cxx=${CXX:-c++}
dir=$(mktemp -d) || exit 2
broker=
over=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null; rm -rf "$dir" {/var/run,/tmp}/dpdk/"kx-install-$$"' EXIT
fail() {
  echo "FAIL: $*"
  exit 1
}

DESTDIR=$dir/root meson install -C "$KX_BUILD" --no-rebuild >"$dir/install.txt" 2>&1 || {
  tail -n 20 "$dir/install.txt"
  fail "meson install"
}
# What the installed documents link to, and the tools that they name, are installed.
docs=$(find "$dir/root" -path '*/doc/kaelix' | head -n 1)
if [ -n "$docs" ]; then
  for file in "$docs"/*.md "$docs"/doc/*.md; do
    while IFS= read -r link; do
      [ -e "${file%/*}/$link" ] || fail "${file##*/}: links to $link, which is not installed"
    done < <(grep -oE '\]\([^)#]+' "$file" | cut -c 3- | grep -v '^https\?:')
  done
  [ -x "$docs/tools/ledger.py" ] || fail "tools/ledger.py is not installed"
  [ -f "$docs/tools/wireshark/kaelix.lua" ] || fail "kaelix.lua is not installed"
fi
pc=$(find "$dir/root" -name kaelix.pc | head -n 1)
[ -n "$pc" ] || fail "no kaelix.pc was installed"
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=${pc%/*}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
sed -i "s|^prefix=|&$dir/root|" "${pc%/*}"/*.pc # as if that were its prefix
[ -L "$libdir/libkaelix.so" ] || fail "no libkaelix.so in $libdir"
[ -e "$libdir/libkaelix.so.0" ] || fail "no libkaelix.so.0 in $libdir"

# exports LIBRARY: only what an installed header declares leaves it; the names, one a line, in $dir/exports
exports() {
  nm -D --defined-only "$libdir/$1" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort -u >"$dir/exports"
  grep -ohE '\b(kx|KAELIX)_[a-z0-9_]+\(' "$include"/*.h | tr -d '(' | sort -u >"$dir/declared"
  foreign=$(comm -23 "$dir/exports" "$dir/declared" | head -n 5 | xargs)
  [ -s "$dir/exports" ] || fail "$1 exports nothing"
  [ -z "$foreign" ] || fail "$1 exports what no installed header declares: $foreign"
}
include=$(dirname "$(find "$dir/root" -name kx_client.h | head -n 1)")
exports libkaelix.so
# A program that links the client statically keeps every other name for itself.
[ -e "$KX_BUILD/lib/libkx_client.a" ] || fail "no libkx_client.a in $KX_BUILD/lib"
foreign=$(nm -g --defined-only "$KX_BUILD/lib/libkx_client.a" | awk 'NF == 3 { print $3 }' | grep -v -E '^kxc?_' || true)
[ -z "$foreign" ] || fail "global in the static library besides kx_ and kxc_: $(echo "$foreign" | head -n 5 | xargs)"

cat >"$dir/hello.c" <<'PROGRAM'
#include <stdio.h>
#include <stdlib.h>
#include <kx_transport_udp.h>

static int left = 1;
static void on_complete(void *user, const struct kx_completion *c) { (void)user; left -= c->result == KX_OK; }

int main(int argc, char **argv)
{
  struct kx_client_opts opts = {};
  struct kx_producer_opts po = {};
  struct kx_message m = {};
  struct kx_udp_client c;
  struct kx_producer *p;

  if (argc != 2 || kx_addr_parse(argv[1], 9000, &opts.broker) != 0 || kx_client_connect_udp(&opts, &c) != 0)
    return 2;
  po.topic = "hello";
  po.on_complete = on_complete;
  if (kx_producer_open(c.client, &po, kx_clock_mono_ns(), &p) != KX_OK)
    return 2;
  m.value = "hello";
  m.value_bytes = 5;
  for (int turn = 0; turn < 5000 && kx_producer_send(p, &m, kx_clock_mono_ns()) != KX_OK; turn++)
    kx_udp_client_turn(&c, 1000000);
  for (int turn = 0; turn < 5000 && left > 0; turn++)
    kx_udp_client_turn(&c, 1000000);
  kx_udp_client_close(&c);
  return left;
}
PROGRAM
# shellcheck disable=SC2046 # flags are words
$cc -Wall -Wextra -Werror -o "$dir/hello" "$dir/hello.c" $(pkg-config --cflags --libs kaelix) || fail "the C program"
# shellcheck disable=SC2046
"$cxx" -x c++ -Wall -Wextra -o "$dir/hello_cxx" "$dir/hello.c" $(pkg-config --cflags --libs kaelix) ||
  fail "the C++ program"

# The same over a DPDK port. Each function of the transport's headers is there; a program builds, loads and runs.
if [ "${KX_DPDK:-1}" = 1 ]; then
  [ -L "$libdir/libkaelix-dpdk.so" ] || fail "no libkaelix-dpdk.so in $libdir"
  [ -e "$libdir/libkaelix-dpdk.so.0" ] || fail "no libkaelix-dpdk.so.0 in $libdir"
  exports libkaelix-dpdk.so
  missing=$(grep -hE '^[a-z]' "$include"/kx_{transport_dpdk,net,ethdev}.h | grep -v '^static' |
    grep -oE '\bkx_[a-z0-9_]+\(' | tr -d '(' | sort -u | comm -13 "$dir/exports" - | xargs)
  [ -z "$missing" ] || fail "libkaelix-dpdk.so does not export $missing"
  # shellcheck disable=SC2046
  $cc -Wall -Wextra -Werror -o "$dir/over_dpdk" tests/client_install_dpdk.c $(pkg-config --cflags --libs kaelix-dpdk) ||
    fail "the program over DPDK"
  LD_LIBRARY_PATH=$libdir ldd "$dir/over_dpdk" | grep -q "libkaelix-dpdk.so.0 => $libdir/" ||
    fail "the program over DPDK does not use the installed library"
  LD_LIBRARY_PATH=$libdir timeout 30 "$dir/over_dpdk" --no-huge --no-shconf -m 64 --no-pci --no-telemetry --log-level=3 \
    --file-prefix "kx-install-$$" >"$dir/over_dpdk.txt" 2>&1 || fail "over DPDK: exit $?: $(tail -n 3 "$dir/over_dpdk.txt")"
  over=", one over a DPDK port loaded and ran"
fi

cat >"$dir/broker.ini" <<'INI'
[broker]
udp_port = 19350
[lcores]
data = 1
[memory]
log_bytes = 64M
[port net_memif0]
address = 10.77.0.1/24
[topic hello]
partitions = 1
log_bytes = 32M
INI
mkfifo "$dir/stdin"
"$KX_BUILD/tests/unit/udp_broker" "$dir/broker.ini" 19350 1 <"$dir/stdin" >"$dir/broker.txt" &
broker=$!
exec 9>"$dir/stdin"
for _ in $(seq 100); do
  grep -q ready "$dir/broker.txt" && break
  sleep 0.05
done
for program in hello hello_cxx; do
  LD_LIBRARY_PATH=$libdir "$dir/$program" 127.0.0.1:19350 || fail "$program: exit $?"
done
got=$("$dir/root/$(cd "$dir/root" && find . -name kaelix-cli | head -n 1)" consume -b 127.0.0.1:19350 -t hello \
  --count 2 --idle-exit 5000 | xargs)
[ "$got" = "hello hello" ] || fail "consumed: $got"
# The Python binding, as installed with it.
python=$(find "$dir/root" -name kaelix.py | head -n 1)
[ -n "$python" ] || fail "no kaelix.py was installed"
got=$(LD_LIBRARY_PATH=$libdir PYTHONPATH=${python%/*} PYTHONDONTWRITEBYTECODE=1 python3 -c 'import kaelix
with kaelix.Client("127.0.0.1:19350") as c, c.consumer("hello", start=kaelix.EARLIEST) as consumer:
    print(*[m.value.decode() for m in consumer.messages(timeout=5, count=2)])')
[ "$got" = "hello hello" ] || fail "consumed with Python: $got"
KAELIX_LIBRARY=$dir/nothing.so PYTHONPATH="${python%/*}" PYTHONDONTWRITEBYTECODE=1 python3 -c 'import kaelix' 2>"$dir/err" &&
  fail "Python found a library that is not there"
grep -q KAELIX_LIBRARY "$dir/err" || fail "a missing library is not explained: $(tail -n 1 "$dir/err")"
exec 9>&-
wait "$broker" || fail "the broker: exit $?"
broker=
echo "installed library: C and C++ programs produced, kaelix-cli and Python consumed$over"
