#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The programs of doc/examples do what they say, against a broker of two data lcores on loopback sockets. From meson:
# KX_BUILD is the build tree, KAELIX_LIBRARY the library, KX_PYTHON=0 leaves the Python ones out.
set -u
cd "$(dirname "$0")/.." || exit 2

dir=$(mktemp -d) || exit 2
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
port=19380
at=127.0.0.1:$port
fail() {
  echo "FAIL: $*"
  exit 1
}
# want CODE WHAT: the exit code of the command before
want() {
  local rc=$?
  [ "$rc" = "$1" ] || fail "$2: exit $rc, not $1: $(tail -n 3 "$dir/err" 2>/dev/null)"
}

{
  printf '[broker]\nudp_port = %s\n[lcores]\ndata = 1\n[memory]\nlog_bytes = 128M\n' $port
  printf '[port net_memif0]\naddress = 10.77.0.1/24\n'
  for language in c py; do
    for name in lines echo numbers; do
      printf '[topic %s-%s]\npartitions = 3\nlog_bytes = 6M\noverrun = trim\n' $name $language
    done
    printf '[topic open-%s]\nlog_bytes = 6M\n' $language
  done
} >"$dir/broker.ini"
mkfifo "$dir/stdin"
"$KX_BUILD/tests/unit/udp_broker" "$dir/broker.ini" $port 2 <"$dir/stdin" >"$dir/broker.txt" &
broker=$!
exec 9>"$dir/stdin"
for _ in $(seq 200); do
  grep -q ready "$dir/broker.txt" && break
  sleep 0.05
done
grep -q ready "$dir/broker.txt" || fail "no broker"

# all LANGUAGE PREFIX SUFFIX: the programs PREFIX<name>SUFFIX
all() {
  local topic_end=$1 prefix=$2 suffix=$3

  timeout 30 "${prefix}produce$suffix" $at "lines-$topic_end" <"$dir/lines" >"$dir/out" 2>"$dir/err"
  want 0 "${prefix}produce$suffix"
  [ "$(cat "$dir/out")" = "3000 confirmed" ] || fail "produce$suffix: $(cat "$dir/out")"
  timeout 30 "${prefix}consume$suffix" $at "lines-$topic_end" 3000 >"$dir/out" 2>"$dir/err"
  want 0 "${prefix}consume$suffix"
  cut -d' ' -f3- "$dir/out" | sort | cmp - <(sort "$dir/lines") || fail "consume$suffix: the lines differ"
  for partition in 0 1 2; do # offsets of a partition have no hole
    awk -v p=$partition '$1 == p { if ($2 != n++) exit 1 }' "$dir/out" || fail "consume$suffix: partition $partition"
  done
  # shellcheck disable=SC2002 # a pipe: what a program has that others feed
  cat "$dir/lines" | timeout 30 "${prefix}epoll$suffix" $at "echo-$topic_end" >"$dir/out" 2>"$dir/err"
  want 0 "${prefix}epoll$suffix"
  sort "$dir/out" | cmp - <(sort "$dir/lines") || fail "epoll$suffix: the lines differ"
  timeout 30 "${prefix}claim$suffix" $at "numbers-$topic_end" 20000 >"$dir/out" 2>"$dir/err"
  want 0 "${prefix}claim$suffix"
  grep -q '^20000 confirmed, ' "$dir/out" || fail "claim$suffix: $(cat "$dir/out")"
  "$KX_BUILD/app/cli/kaelix-cli" consume -b $at -t "numbers-$topic_end" --count 20000 --idle-exit 5000 -f length |
    python3 -c 'import struct, sys
b = sys.stdin.buffer.read()
assert sorted(n for _, n in struct.iter_unpack("<IQ", b)) == list(range(20000))' || fail "claim$suffix: the numbers"
  # a line leaves while standard input is open, whether or not another one follows
  rm -f "$dir/lines.in" && mkfifo "$dir/lines.in"
  timeout 30 "${prefix}produce$suffix" $at "open-$topic_end" <"$dir/lines.in" >"$dir/out" 2>"$dir/err" 9>&- &
  local producer=$!
  exec 8>"$dir/lines.in"
  echo early >&8
  [ "$("$KX_BUILD/app/cli/kaelix-cli" consume -b $at -t "open-$topic_end" --count 1 --idle-exit 5000 8>&-)" = early ] ||
    fail "produce$suffix: nothing before the end of its input"
  head -c 5000 /dev/zero | tr '\0' x >&8 # one line, without its end
  exec 8>&-
  wait $producer
  want 0 "${prefix}produce$suffix from an open input"
  [ "$("$KX_BUILD/app/cli/kaelix-cli" consume -b $at -t "open-$topic_end" --count 2 --idle-exit 5000 -f '%S ' 9>&-)" = "5 5000 " ] ||
    fail "produce$suffix: a long line is not one message"
  for program in produce consume epoll claim; do
    timeout 30 "${prefix}$program$suffix" 2>"$dir/err" </dev/null
    want 2 "${prefix}$program$suffix without arguments"
    grep -q "^usage: $program" "$dir/err" || fail "$program$suffix: $(cat "$dir/err")"
  done
  for program in consume claim; do
    timeout 30 "${prefix}$program$suffix" $at "lines-$topic_end" -5 2>"$dir/err"
    want 2 "${prefix}$program$suffix with a negative count"
  done
  # nobody there, no such topic: said by name, not silent
  timeout 30 "${prefix}produce$suffix" $at no-such-topic <<<x >"$dir/out" 2>"$dir/err"
  want 1 "${prefix}produce$suffix to an unknown topic"
  grep -qi "topic" "$dir/err" || fail "produce$suffix: $(cat "$dir/err")"
}

seq 1 3000 | sed 's/.*/line & of three thousand/' >"$dir/lines"
all c "$KX_BUILD/doc/examples/example_" ""
if [ "$KX_PYTHON" = 1 ]; then
  export PYTHONPATH=$PWD/tools/python PYTHONDONTWRITEBYTECODE=1
  all py "doc/examples/" .py
fi
exec 9>&-
wait "$broker"
want 0 "the broker"
echo "examples: all as they say"
