#!/usr/bin/env bash
# vim.sh [FOLDER]: a current Vim, and ALE, which speaks to language servers, for tests.
#
# Debian's, unpacked into FOLDER (editors/.tools/vim); a second call finds what is there.
# Nothing of the system changes. About fifteen seconds and 70 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$(realpath -m "${1:-$here/../.tools/vim}")

if ! "$folder/bin/vim" --version >/dev/null 2>&1; then
  unpack "$folder" vim vim-ale
  cd "$folder"
  wrap "$folder" usr/bin/vim.basic vim "VIMRUNTIME='$folder/$(echo usr/share/vim/vim[0-9]*)'"
  mkdir -p "$folder/pack/ale/start" # a 'packpath' with nothing else in it
  ln -sfn "$folder/usr/share/vim-ale" "$folder/pack/ale/start/ale"
fi
echo "$("$folder/bin/vim" --version | head -1), with ALE"
