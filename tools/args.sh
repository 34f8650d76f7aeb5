# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# To be sourced. Arguments of scripts whose head comment is their help:
#
#   args_begin FILE ARG...     --help or -h anywhere: print FILE's head comment and exit 0
#   args_value OPTION [VALUE]  exit 2 when there is no value, or no such option in the help
#   args_wrong WHAT WHY        say which argument is wrong and why, exit 2
#   args_number OPTION VALUE MIN [MAX]   a whole number, exit 2 when it is none
#   args_positive OPTION VALUE           a number above 0, such as 2 or 0.5
#   args_output OPTION FILE              print FILE's absolute name; exit 2 when it cannot be written. Changes nothing:
#                                        FILE=$(args_output OPTION "$FILE") || exit 2

args_begin() {
  local arg file=$1
  shift
  ARGS_NAME=${file##*/}
  ARGS_HELP=$(sed -n '3,${/^#/!q; s/^# \{0,1\}//; p}' "$file")
  for arg in "$@"; do
    if [ "$arg" = --help ] || [ "$arg" = -h ]; then
      printf '%s\n' "$ARGS_HELP"
      exit 0
    fi
  done
}

args_wrong() {
  echo "$ARGS_NAME: $1: $2; see --help" >&2
  exit 2
}

args_value() {
  [ $# -gt 1 ] && return
  grep -qwF -e "$1" <<<"$ARGS_HELP" || args_wrong "$1" "no such option"
  args_wrong "$1" "needs a value"
}

args_number() {
  local range="from $3${4:+ to $4}"
  [ -z "${4:-}" ] || [ "$4" != "$3" ] || range="$3"
  [[ $2 =~ ^(0|[1-9][0-9]{0,15})$ && $2 -ge $3 && (-z ${4:-} || $2 -le ${4:-0}) ]] || args_wrong "$1 $2" "a whole number $range is needed"
}

args_positive() {
  [[ $2 =~ ^[0-9]+(\.[0-9]+)?$ && $2 =~ [1-9] ]] || args_wrong "$1 $2" "a number above 0 is needed"
}

args_output() {
  local file why new=
  [ -n "$2" ] || args_wrong "$1" "is needed"
  file=$(realpath -m -- "$2")
  if [ ! -p "$file" ]; then # opening a pipe would wait for who reads it
    [ -e "$file" ] || new=yes
    why=$({ : >>"$file"; } 2>&1) || args_wrong "$1 $2" "cannot be written: ${why##*: }"
    [ -z "$new" ] || rm -f -- "$file"
  fi
  printf '%s\n' "$file"
}
