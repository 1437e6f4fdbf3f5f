#!/usr/bin/env bash
# vscode.sh [DEST]: the real VS Code for tests, as code-server, with the Node it needs, a browser and its driver.
#
# Everything goes into DEST (editors/.tools/vscode), by npm; the browser alone is the system's, by apt.
# A second call finds what is there. Needs npm, gcc, g++, make, python3; about 0.6 GB and two minutes.
set -euo pipefail

NODE=24.21.0          # code-server asks for this line of it
CODE_SERVER=4.139.1    # VS Code 1.139.1
PLAYWRIGHT=1.65.1      # drives the browser; it downloads none

dest=$(realpath -m "${1:-$(dirname "$0")/../.tools/vscode}")
mkdir -p "$dest"

# package NAME@VERSION...: npm packages in the current folder, without a lock file, without their scripts
package() {
  [ -f package.json ] || echo '{"private": true}' > package.json
  npm install --no-package-lock --no-audit --no-fund --loglevel=error --ignore-scripts "$@"
}

echo "Node $NODE"
mkdir -p "$dest/node"
cd "$dest/node"
# The package `node` fetches the program for this machine by a script of its own.
[ "$(node_modules/node/bin/node --version 2>/dev/null)" = "v$NODE" ] || {
  package "node@$NODE"
  npm rebuild --loglevel=error --ignore-scripts=false node
}
export PATH="$dest/node/node_modules/node/bin:$PATH"

echo "code-server $CODE_SERVER"
mkdir -p "$dest/code-server"
cd "$dest/code-server"
if [ ! -f .complete-$CODE_SERVER ]; then
  rm -rf node_modules
  package "code-server@$CODE_SERVER"
  cd node_modules/code-server/lib/vscode
  npm install --no-package-lock --no-audit --no-fund --loglevel=error --omit=dev --ignore-scripts
  # Of all its native modules the editor needs only these two here; the others would be downloaded.
  npm rebuild --loglevel=error --ignore-scripts=false @vscode/spdlog @vscode/native-watchdog
  rm -rf extensions/copilot node_modules/@github
  cd "$dest/code-server"
  touch .complete-$CODE_SERVER
fi

echo "playwright-core $PLAYWRIGHT"
mkdir -p "$dest/driver"
cd "$dest/driver"
[ -d node_modules/playwright-core ] || package "playwright-core@$PLAYWRIGHT"

if ! command -v chromium >/dev/null; then
  echo "Chromium, by apt"
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core
fi

home=$(mktemp -d)  # both write into their user's home, even to tell their version
trap 'rm -rf "$home"' EXIT
unset XDG_CONFIG_HOME XDG_DATA_HOME
entry=$dest/code-server/node_modules/code-server/out/node/entry.js
version=$(HOME=$home node "$entry" --version | tail -1)
browser=$(HOME=$home chromium --version 2>/dev/null)
echo "VS Code ${version##* } (code-server $CODE_SERVER, Node $(node --version)), ${browser%% built*}"
