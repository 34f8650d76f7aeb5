#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The style of every tracked file, in seconds: clang-format, shellcheck, SPDX lines, spaces, file sizes, links
# between documents. Prints what is wrong and where; exit 1 when anything is.
set -u
cd "$(dirname "$0")/.." || exit 2
wrong=0

complain() {
  echo "$*"
  wrong=1
}

# tracked PATTERN...: the tracked files that exist, test data excepted.
tracked() {
  git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" \
    ':!tests/fuzz/corpus' ':!tests/vectors' ':!tests/sim/mutants' | sort -u | while IFS= read -r file; do
    [ ! -f "$file" ] || printf '%s\n' "$file"
  done
}

check_format() {
  local format
  format=$(command -v clang-format-14 || command -v clang-format) || {
    complain "lint: no clang-format (tools/deps.sh installs it)"
    return
  }
  tracked '*.c' '*.h' | xargs -r "$format" --dry-run --Werror 2>&1 | grep -E '(error|warning):' | head -n 40
  [ "${PIPESTATUS[1]}" -eq 0 ] || complain "lint: run: $(basename "$format") -i FILE"
}

check_shell() {
  command -v shellcheck >/dev/null || {
    complain "lint: no shellcheck (tools/deps.sh installs it)"
    return
  }
  tracked '*.sh' .ci/run | xargs -r shellcheck -x || complain "lint: shellcheck"
}

check_python() {
  local file
  while IFS= read -r file; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || complain "lint: $file"
  done < <(tracked '*.py')
}

check_spdx() {
  local file
  while IFS= read -r file; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' ||
      complain "$file: no SPDX line in its first three"
  done < <(tracked '*.c' '*.h' '*.h.in' '*.sh' '*.py' '*.ini' '*meson.build' meson_options.txt .ci/run)
}

check_spaces() {
  tracked | xargs -r grep -nIE '[[:space:]]+$' | head -n 40 | grep . && complain "lint: spaces at the end of lines"
  tracked '*meson.build' meson_options.txt '*.sh' '*.py' | xargs -r grep -nP '\t' | head -n 40 | grep . &&
    complain "lint: tabs where spaces belong"
  tracked | xargs -r grep -lI '' | while IFS= read -r file; do
    [ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at its end"
  done | grep . && complain "lint: last lines"
}

check_size() {
  tracked '*.c' '*.h' '*.sh' '*.py' | xargs -r wc -l | awk '$2 != "total" && $1 > 700 {
    print $2 ": " $1 " lines; more than 700 is more than one subject" }' | grep . && complain "lint: long files"
}

check_links() {
  local file link target
  while IFS= read -r file; do
    while IFS= read -r link; do
      target=${link%%#*}
      case $link in http://* | https://* | mailto:* | '#'*) continue ;; esac
      [ -e "$(dirname "$file")/$target" ] || complain "$file: link to $target, which does not exist"
    done < <(grep -oE '\]\([^) ]+\)' "$file" | sed 's/^](//; s/)$//')
  done < <(tracked '*.md')
}

check_format
check_shell
check_python
check_spdx
check_spaces
check_size
check_links
[ $wrong -ne 0 ] || echo "lint: clean"
exit $wrong
