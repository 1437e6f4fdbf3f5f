#!/usr/bin/env bash
# kate.sh [FOLDER]: a current Kate, a screen that nobody sees, and what presses its keys, for tests.
#
# Debian's, unpacked into FOLDER (editors/.tools/kate); a second call finds what is there.
# Nothing of the system changes. About three minutes and 1 GB, for all of KDE comes along.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$(realpath -m "${1:-$here/../.tools/kate}")

if [ ! -f "$folder/.complete" ]; then
  unpack "$folder" kate xvfb xdotool
  cd "$folder"
  rm -rf usr/share/{doc,locale,man}
  # Some libraries lie in folders of their own, where the system's loader is told to look.
  libraries=$(dirname "$(find "$folder/usr/lib" -name 'ld-linux-*.so.*' | head -1)")
  ln -s "$libraries"/{libproxy,pulseaudio}/*.so* "$libraries"
  wrap "$folder" usr/bin/kate kate "QT_PLUGIN_PATH='$libraries/qt6/plugins'" \
    "XDG_DATA_DIRS='$folder/usr/share'"
  wrap "$folder" usr/bin/xdotool xdotool
  wrap "$folder" usr/bin/Xvfb Xvfb -- "-xkbdir '$folder/usr/share/X11/xkb'"
  # Xvfb starts /usr/bin/xkbcomp, wherever it is itself: ours, seen from FOLDER, by a name as long.
  sed -i 's#/usr/bin\x00#bin/////\x00#' usr/bin/Xvfb
  wrap "$folder" usr/bin/xkbcomp xkbcomp
  touch .complete
fi
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
HOME=$home QT_QPA_PLATFORM=offscreen "$folder/bin/kate" --version
