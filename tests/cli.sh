#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# kaelix-cli against a broker of three data lcores on loopback sockets: formats, keys, exit codes, a million lines.
# From meson: KX_BUILD is the build tree.
set -u

dir=$(mktemp -d) || exit 2
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
port=19360
cli="$KX_BUILD/app/cli/kaelix-cli -b 127.0.0.1:$port"
fail() {
  echo "FAIL: $*"
  exit 1
}
# want CODE WHAT: the exit code of the command before
want() {
  local rc=$?
  [ "$rc" = "$1" ] || fail "$2: exit $rc, not $1"
}
# same WANT GOT WHAT
same() {
  [ "$1" = "$2" ] || fail "$3: want '$1', got '$2'"
}

cat >"$dir/broker.ini" <<INI
[broker]
udp_port = $port
[lcores]
data = 1
[memory]
log_bytes = 320M
[port net_memif0]
address = 10.77.0.1/24
[topic lines]
partitions = 1
overrun = block
log_bytes = 192M
[topic four]
partitions = 4
log_bytes = 8M
[topic big]
partitions = 1
log_bytes = 32M
max_message_bytes = 1M
INI
mkfifo "$dir/stdin"
# until TEXT FILE: it is there, within 10 s
until_said() {
  for _ in $(seq 200); do
    grep -q -e "$1" "$2" && return
    sleep 0.05
  done
  fail "no '$1' in: $(cat "$2")"
}
# A new one, with empty logs. It ends when descriptor 9 is closed.
broker_up() {
  : >"$dir/broker.txt"
  "$KX_BUILD/tests/unit/udp_broker" "$dir/broker.ini" $port 3 <"$dir/stdin" >"$dir/broker.txt" &
  broker=$!
  exec 9>"$dir/stdin"
  until_said ready "$dir/broker.txt"
}
broker_up

# A million lines, byte for byte.
seq 1 1000000 | sed 's/.*/line & of a million/' >"$dir/lines"
$cli produce -t lines <"$dir/lines"
want 0 "produce a million lines"
$cli consume -t lines --count 1000000 --idle-exit 20000 >"$dir/out"
want 0 "consume a million lines"
cmp "$dir/lines" "$dir/out" || fail "the lines differ"
same "line 999991 of a million" "$($cli consume -t lines --from 999990 --count 1)" "from an offset"
$cli consume -t lines --from now --idle-exit 200 >"$dir/out"
want 0 "idle exit"
[ ! -s "$dir/out" ] || fail "from now printed something"
$cli consume -t lines --from now --count 1 --idle-exit 200 >"$dir/out"
want 4 "fewer than --count"

# Keys, partitions, formats.
printf 'a:one\nb:two\na:three\nc:' | $cli produce -t four -K :
want 0 "keys"
same "a one,a three,b two,c " "$($cli consume -t four --count 4 --idle-exit 5000 -f '%k %s\n' | sort -s -k1,1 | paste -sd, -)" \
  "values by key"
printf 'x\ny\n' | $cli produce -t four -p 2 -k 'k"1'
want 0 "one partition"
$cli consume -t four -p 2 --idle-exit 300 -f json | tail -n 1 >"$dir/out"
python3 -c 'import json, sys
m = json.load(open(sys.argv[1]))
assert (m["topic"], m["partition"], m["key"], m["value"]) == ("four", 2, "k\"1", "y"), m
assert set(m) == {"topic", "partition", "offset", "append_time_ns", "timestamp_ns", "key", "value"}, m' "$dir/out" || fail "json"
# Bytes that are no UTF-8: still JSON, and the character of that number to who parses it, as the document says.
printf '\377 \303\277\n' | $cli produce -t four -p 2
want 0 "bytes that are no text"
$cli consume -t four -p 2 --idle-exit 300 -f json | tail -n 1 >"$dir/out"
grep -qF -e "\"value\":\"\\u00ff $(printf '\303\277')\"}" "$dir/out" || fail "bytes that are no text: $(cat "$dir/out")"
printf 'no delimiter' | $cli produce -t four -K : 2>/dev/null
want 1 "no delimiter in a line"

# Length-prefixed records, binary and large, there and back.
python3 -c 'import struct, sys
out = sys.stdout.buffer
for n in (0, 1, 7, 1300, 5000, 300000, 1048576, 3):
    out.write(struct.pack("<I", n) + bytes((n + i) % 256 for i in range(n)))' >"$dir/records"
$cli produce -t big -f length <"$dir/records"
want 0 "length-prefixed records"
$cli consume -t big -f length --count 8 --idle-exit 5000 >"$dir/out"
want 0 "consume records"
cmp "$dir/records" "$dir/out" || fail "the records differ"
head -c 19 "$dir/records" | $cli produce -t big -f length 2>/dev/null
want 1 "a record that is cut off"
head -c 1048577 /dev/zero | tr '\0' x | $cli produce -t big 2>"$dir/err"
want 1 "a message that is too large"
grep -q "larger than" "$dir/err" || fail "too large: $(cat "$dir/err")"

head -c 1048577 /dev/zero | tr '\0' x | sed '1s/^/one\ntwo\n/; $s/$/\nfour/' >"$dir/long"
$cli produce -t big <"$dir/long" 2>"$dir/err"
want 1 "a line that is too long"
grep -q "line 3: a message of 1048577 bytes: larger than" "$dir/err" || fail "the line is not named: $(cat "$dir/err")"
before=$($cli topics -t big --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["next_offset"])')
$cli produce -t big --too-long skip <"$dir/long" 2>"$dir/err"
want 1 "a line that is too long is left out"
grep -q "line 3: a message" "$dir/err" || fail "the line left out is not named: $(cat "$dir/err")"
grep -q "1 messages were too long and not sent" "$dir/err" || fail "what was left out is not summed up"
same "one two four" "$($cli consume -t big --from "$before" --count 3 --idle-exit 5000 | xargs)" "the others went"
{ echo one; head -c 40000000 /dev/zero | tr '\0' x; echo; echo three; } | $cli produce -t big --too-long skip 2>"$dir/err"
want 1 "a line that no buffer holds"
grep -q "line 2: a message of more than" "$dir/err" || fail "such a line is not named: $(cat "$dir/err")"
same "one three" "$($cli consume -t big --from $((before + 3)) --count 2 --idle-exit 5000 | xargs)" "around it"
python3 -c 'import struct, sys
out = sys.stdout.buffer
for n in (3, 17000000, 4):
    out.write(struct.pack("<I", n) + b"r" * n)' | $cli produce -t big -f length --too-long skip 2>"$dir/err"
want 1 "a record that is too long"
grep -q "record 2: a message of 17000000 bytes" "$dir/err" || fail "the record is not named: $(cat "$dir/err")"
same "rrr rrrr" "$($cli consume -t big --from $((before + 5)) --count 2 --idle-exit 5000 | xargs)" "around the record"

# A producer is taken over: the process that had the id before is shut out, and says so. One that was killed leaves
# nothing in the way.
produce_as() { # FILE ID: from descriptor 8, in the background
  mkfifo "$dir/$1.in"
  $cli produce -t four -p 1 --producer-id "$2" <"$dir/$1.in" 2>"$dir/$1" &
  zombie=$!
  exec 8>"$dir/$1.in"
  for _ in $(seq 100); do
    grep -q ', epoch ' "$dir/$1" && return
    sleep 0.05
  done
  fail "no producer id: $(cat "$dir/$1")"
}
produce_as old 0
id=$(sed -n 's/.*producer \([0-9]*\), epoch 1$/\1/p' "$dir/old")
echo before >&8
echo after | $cli produce -t four -p 1 --producer-id "$id" 2>"$dir/err"
want 0 "take-over"
grep -q "producer $id, epoch 2" "$dir/err" || fail "take-over: $(cat "$dir/err")"
(trap '' PIPE; echo late >&8) 2>/dev/null # it may be gone already
wait "$zombie"
want 1 "the process that was taken over"
exec 8>&-
grep -q "another client has taken this producer id over" "$dir/old" || fail "fenced: $(cat "$dir/old")"
produce_as idle "$id"
echo after | $cli produce -t four -p 1 --producer-id "$id" 2>"$dir/err"
want 0 "take-over of a process that waits for input"
wait "$zombie" # its input is open, and nothing comes
want 1 "the process that waited for input"
exec 8>&-
grep -q "another client has taken this producer id over ($id); stopped" "$dir/idle" || fail "idle: $(cat "$dir/idle")"
if grep -q "connect" "$dir/idle"; then fail "it connects again: $(cat "$dir/idle")"; fi
produce_as killed "$id"
kill -9 "$zombie"
wait "$zombie" 2>/dev/null
exec 8>&-
echo again | $cli produce -t four -p 1 --producer-id "$id" 2>"$dir/err"
want 0 "take-over of a process that was killed"
grep -q "producer $id, epoch 6" "$dir/err" || fail "take-over after a kill: $(cat "$dir/err")"
same "after after again" "$($cli consume -t four -p 1 --idle-exit 300 | grep -v '^[abct]:' | grep -x 'before\|after\|late\|again' | grep -v before | paste -sd' ' -)" \
  "what is stored after the take-over"
$cli produce -t four --producer-id x 2>/dev/null
want 2 "a bad producer id"

# Looking around.
same "TOPIC lines four big" "$($cli topics | awk '{ print $1 }' | xargs)" "topics"
$cli topics --json | python3 -c 'import json, sys
got = json.load(sys.stdin)
assert [t["partitions"] for t in got] == [1, 4, 1], got
assert set(got[0]) == {"topic", "partitions", "durability", "overrun"}, got' || fail "topics --json"
$cli topics -t four --json | python3 -c 'import json, sys
got = json.load(sys.stdin)
assert set(got[0]) == {"partition", "lcore", "port", "first_offset", "committed_offset", "next_offset"}, got
assert sum(p["next_offset"] for p in got) >= 8' || fail "topics -t four --json"
$cli ping -c 20 --interval 0 --json | python3 -c 'import json, sys
got = json.load(sys.stdin)
assert set(got[0]) == {"lcore", "sent", "received", "min_ns", "mean_ns", "max_ns", "p99_ns"} and got[0]["p99_ns"] is None, got
assert [p["lcore"] for p in got] == [0, 1, 2] and all(p["received"] == 20 for p in got), got' || fail "ping --json"
same 3 "$($cli ping -c 3 | grep -c '3 of 3 answered, min .* avg .* max .* p99')" "ping"
$cli topics >/dev/full 2>"$dir/err"
want 1 "topics to a full device"
grep -q "standard output: No space left" "$dir/err" || fail "a full device is not named: $(cat "$dir/err")"

# What contradicts is refused by name.
refused() {
  local text=$1

  shift
  $cli "$@" 2>"$dir/err" </dev/null
  want 2 "$*"
  grep -q -e "$text" "$dir/err" || fail "$*: $(cat "$dir/err")"
}
refused "--from is no option of produce" produce -t lines --from now
refused "--count is no option of produce" produce -t lines -c 1
refused "--key is no option of consume" consume -t lines -k x
refused "--json is no option of consume" consume -t lines --json
refused "--partition is no option of topics" topics -t lines -p 0
refused "--topic is no option of ping" ping -t lines
refused "--interval is no option of topics" topics --interval 5
refused "--too-long is no option of consume" consume -t lines --too-long skip
refused "--topic is given 2 times" produce -t lines -t big
refused "--too-long never: stop or skip" produce -t lines --too-long never
refused "--key and --key-delimiter exclude each other" produce -t lines -k a -K :
for format in xml '' %q %s% % %% 'no field\\n'; do
  refused "value, json, length, or a text" consume -t lines -f "$format"
done
refused "now, or an offset" consume -t lines --from yesterday
refused "broker port 99999: a whole number" topics -b 10.77.0.1:99999
[ "$(wc -l <"$dir/err")" = 1 ] || fail "a second line about the port: $(cat "$dir/err")"

refused "principal desk needs --key-file" topics --principal desk
refused "principal 'a b': 1 to 63 letters, digits" topics --principal 'a b'
refused "principal '': 1 to 63 letters, digits" topics --principal ''

# Wrong use and no broker.
$cli 2>/dev/null
want 2 "no command"
$cli produce 2>/dev/null
want 2 "no topic"
$cli consume -t lines --from never 2>/dev/null
want 2 "a bad offset"
$cli ping extra 2>/dev/null
want 2 "two commands"
$cli -b 'nonsense::host:' ping 2>/dev/null
want 2 "a bad address"
$cli --frames secret topics 2>/dev/null
want 2 "a bad protection"
$cli consume -t none 2>"$dir/err"
want 1 "an unknown topic"
grep -q "unknown topic" "$dir/err" || fail "unknown topic: $(cat "$dir/err")"
$cli consume -t four -p 4 2>/dev/null
want 1 "an unknown partition"
$cli topics -t nosuch 2>"$dir/err"
want 1 "topics of an unknown one"
grep -q "topic nosuch: unknown topic" "$dir/err" || fail "the topic is not named: $(cat "$dir/err")"
$cli produce -t four -p 9 </dev/null 2>"$dir/err"
want 1 "no such partition, and nothing to send"
grep -q "topic four has no partition 9, only 0 to 3" "$dir/err" || fail "partition 9: $(cat "$dir/err")"
same null "$($cli ping -c 1 --json | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)[0]["p99_ns"]))')" \
  "p99 of one ping"
same 3 "$($cli ping -c 1 | grep -c 'p99 - us$')" "p99 of one ping as text"

# Started without standard descriptors: the socket is not read as standard input.
before=$($cli topics -t four --json | python3 -c 'import json, sys; print([p["next_offset"] for p in json.load(sys.stdin)])')
# shellcheck disable=SC2086 # words
timeout 20 $cli produce -t four <&- 2>"$dir/err"
want 1 "produce without a standard input"
grep -q "standard input is closed" "$dir/err" || fail "a closed standard input: $(cat "$dir/err")"
# shellcheck disable=SC2086 # words
timeout 20 $cli produce -t four <&- >&- 2>&-
want 1 "produce without any standard descriptor"
for args in topics "ping -c 1" "consume -t lines --count 1" --help --version; do
  # shellcheck disable=SC2086 # words
  timeout 20 $cli $args >&- 2>"$dir/err"
  want 1 "$args without a standard output"
  grep -q "standard output" "$dir/err" || fail "$args without a standard output: $(cat "$dir/err")"
done
$cli --help >/dev/full 2>"$dir/err"
want 1 "--help to a full device"
grep -q "standard output: No space left" "$dir/err" || fail "--help to a full device: $(cat "$dir/err")"
same "$before" "$($cli topics -t four --json | python3 -c 'import json, sys; print([p["next_offset"] for p in json.load(sys.stdin)])')" \
  "what was sent without a standard input"

$cli -b 127.0.0.1:9 --timeout 200 topics 2>/dev/null
want 3 "no broker there"
grep -q "Exit codes" <<<"$($cli --help)" || fail "--help"

# SIGINT ends a consumer cleanly.
$cli consume -t lines --from now 9>&- &
consumer=$!
sleep 0.3
kill -INT "$consumer"
wait "$consumer"
want 0 "SIGINT"

# A broker that stops, in order and then by SIGKILL, and is started again: consume and produce wait and go on.
mkfifo "$dir/lines.in"
$cli produce -t four -p 3 9>&- <"$dir/lines.in" 2>"$dir/produce.err" &
producer=$!
exec 8>"$dir/lines.in"
$cli consume -t four --from now 9>&- 8>&- >"$dir/consumed" 2>"$dir/consume.err" &
consumer=$!
for _ in $(seq 100); do
  echo marker >&8
  grep -q marker "$dir/consumed" && break
  sleep 0.05
done
until_said marker "$dir/consumed"
for how in order kill; do
  : >"$dir/consume.err"
  : >"$dir/produce.err"
  [ $how = order ] || kill -9 "$broker"
  exec 9>&-
  wait "$broker" 2>/dev/null
  broker_up 8>&-
  until_said "connected to 127.0.0.1:$port again" "$dir/consume.err"
  until_said "connected to 127.0.0.1:$port again" "$dir/produce.err"
  if [ $how = order ]; then
    grep -q "ended: the broker is stopping; connecting again" "$dir/consume.err" || fail "$(cat "$dir/consume.err")"
    grep -q "ended: the broker is stopping; connecting again" "$dir/produce.err" || fail "$(cat "$dir/produce.err")"
  fi
  echo "after $how" >&8
  until_said "after $how" "$dir/consumed"
done
kill -INT "$consumer"
wait "$consumer"
want 0 "consume that has outlasted two brokers"
exec 8>&-
wait "$producer"
want 1 "produce, of whose messages the broker has lost some"
grep -q "the broker was started again and has lost" "$dir/produce.err" || fail "lost: $(cat "$dir/produce.err")"
grep -q "lines were confirmed, 0 not" "$dir/produce.err" || fail "the sum: $(cat "$dir/produce.err")"

# Partitions of different length: the one that ends before the offset is named, the others are shown.
printf '1\n2\n' | $cli produce -t four -p 0
want 0 "two messages"
same "0 1 2" "$($cli consume -t four --from 1 -p 0 --count 1 -f '%p %o %s\n' 2>"$dir/err")" "one partition from an offset"
$cli consume -t four --from 1 --idle-exit 300 -f '%p %o %s\n' >"$dir/out" 2>"$dir/err"
want 0 "from an offset that lies beyond the end of other partitions"
same "0 1 2" "$(grep '^0 ' "$dir/out")" "what is readable"
same "1 2" "$(sed -n 's/.*partition \([0-9]\) ends at offset 0, before --from 1.*/\1/p' "$dir/err" | sort | xargs)" \
  "the partitions that end before: $(cat "$dir/err")"

# For no longer than --timeout; then the exit code is 3, and produce says what was not confirmed.
$cli consume -t lines --timeout 300 2>"$dir/consume.err" 9>&- >/dev/null &
consumer=$!
$cli produce -t four -p 1 --producer-id 0 --timeout 300 9>&- <"$dir/lines.in" 2>"$dir/produce.err" &
producer=$!
exec 8>"$dir/lines.in"
until_said ", epoch " "$dir/produce.err"
sleep 0.3
exec 9>&-
wait "$broker"
want 0 "the broker"
until_said connecting "$dir/produce.err"
echo late >&8
wait "$consumer"
want 3 "consume, and the broker does not come back"
grep -q "has not come back; given up" "$dir/consume.err" || fail "$(cat "$dir/consume.err")"
wait "$producer"
want 3 "produce, and the broker does not come back"
exec 8>&-
grep -q "0 lines were confirmed, [01] not" "$dir/produce.err" || fail "the sum: $(cat "$dir/produce.err")"
echo "kaelix-cli: all as it should be"
