#!/usr/bin/env bash
# all.sh [NAME...]: the editors that the tests drive, each by the script of its name beside this one.
#
# Everything goes to editors/.tools, which git does not see. One that fails does not stop the
# others; the exit code says whether all of them are there.
set -uo pipefail
cd "$(dirname "$0")"

[ $# -gt 0 ] || set -- neovim vscode emacs helix vim kate
log=$(mktemp)
table=$(mktemp)
trap 'rm -f "$log" "$table"' EXIT
failed=0
for name in "$@"; do
  printf '%s ...\n' "$name"
  if [ ! -f "$name.sh" ]; then
    printf '  %-8s there is no script of this name\n' "$name" >> "$table"
    failed=1
  elif bash "$name.sh" > "$log" 2>&1; then
    printf '  %-8s %s\n' "$name" "$(tail -n 1 "$log")" >> "$table"
  else
    printf '  %-8s not set up: %s\n' "$name" "$(tail -n 1 "$log")" >> "$table"
    sed 's/^/  | /' "$log"
    failed=1
  fi
done
printf '\n'
cat "$table"
exit "$failed"
