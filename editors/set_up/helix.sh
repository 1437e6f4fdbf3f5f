#!/usr/bin/env bash
# helix.sh [FOLDER]: a current Helix for tests.
#
# Debian's, unpacked into FOLDER (editors/.tools/helix); a second call finds what is there.
# Nothing of the system changes. About ten seconds and 40 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$(realpath -m "${1:-$here/../.tools/helix}")

if ! "$folder/bin/hx" --version >/dev/null 2>&1; then
  unpack "$folder" hx
  wrap "$folder" usr/lib/hx/hx hx "HELIX_RUNTIME='$folder/usr/lib/hx/runtime'"
fi
"$folder/bin/hx" --version
