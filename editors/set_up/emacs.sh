#!/usr/bin/env bash
# emacs.sh [FOLDER]: a current Emacs, without a window system, and lsp-mode, for tests.
#
# Debian's, unpacked into FOLDER (editors/.tools/emacs); a second call finds what is there.
# Nothing of the system changes. About half a minute and 320 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$(realpath -m "${1:-$here/../.tools/emacs}")

if ! "$folder/bin/emacs" --version >/dev/null 2>&1; then
  unpack "$folder" emacs-nox elpa-lsp-mode
  # The compiler that it brings along for Lisp, which nothing here is compiled by.
  rm -rf "$folder"/usr/{lib,libexec}/gcc "$folder"/usr/bin/*-linux-gnu-* "$folder"/usr/share/doc
  cd "$folder"
  version=$(basename usr/share/emacs/[0-9]*)
  programs=$(echo usr/libexec/emacs/"$version"/*)
  wrap "$folder" usr/bin/emacs-nox emacs \
    "EMACSLOADPATH='$folder/usr/share/emacs/$version/lisp'" \
    "EMACSDATA='$folder/usr/share/emacs/$version/etc'" \
    "EMACSDOC='$folder/usr/share/emacs/$version/etc'" \
    "EMACSPATH='$folder/$programs'" \
    -- "--dump-file='$folder/$(echo "$programs"/*.pdmp)'"
  mv usr/share/emacs/site-lisp/elpa-src packages
  # As `package-install` would have left them: what can be called without being loaded before.
  bin/emacs -Q --batch -f loaddefs-generate-batch "$folder/packages/autoloads.el" packages/*/
fi
echo "$("$folder/bin/emacs" --version | head -1), $(basename "$folder"/packages/lsp-mode-*)"
