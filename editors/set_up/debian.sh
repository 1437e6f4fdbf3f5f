# Sourced by the scripts beside it: programs of Debian's next release, run from a folder of their own.
#
# Nothing of the system changes: a throw-away configuration of apt downloads, dpkg unpacks, and each
# program is started by the loader that was unpacked with it, so that it finds its own libraries.

# unpack FOLDER PACKAGE...: these packages, with all that they depend on, below FOLDER.
unpack() {
  local folder=$1 site work
  shift
  command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
    { echo "this downloads Debian's packages, and there is no apt-get here" >&2; return 1; }
  # The mirror that this machine is set to: every release lies under the same address.
  site=$(apt-get indextargets --format '$(SITE)' | grep -E '/debian/?$' | head -1)
  [ -n "$site" ] || { echo "no mirror of Debian is known here: apt-get update" >&2; return 1; }
  work=$(mktemp -d)
  chmod 755 "$work"
  mkdir -p "$work"/lists/partial "$work"/archives/partial "$work"/none
  : > "$work/status" # nothing is installed, as far as this apt knows
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site ${SUITE:-forky} main" \
    > "$work/sources.list"
  cat > "$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list"; Dir::Etc::sourceparts "$work/none";
Dir::Etc::preferencesparts "$work/none"; Dir::Etc::preferences "$work/none/none";
Dir::State "$work"; Dir::State::status "$work/status"; Dir::Cache "$work";
Acquire::Languages "none"; APT::Sandbox::User "root"; Debug::NoLocking "true";
CONF
  rm -rf "$folder"
  mkdir -p "$folder"
  APT_CONFIG="$work/apt.conf" apt-get update -qq &&
    APT_CONFIG="$work/apt.conf" apt-get install -qq -y --download-only --no-install-recommends "$@" \
      >/dev/null &&
    for package in "$work"/archives/*.deb; do dpkg -x "$package" "$folder"; done
  local code=$?
  rm -rf "$work"
  return "$code"
}

# wrap FOLDER PROGRAM NAME [VARIABLE=VALUE...] [-- ARGUMENT...]: FOLDER/bin/NAME starts PROGRAM.
wrap() {
  local folder=$1 program="$1/$2" name=$3 loader
  shift 3
  loader=$(find "$folder" -name 'ld-linux-*.so.*' | head -1)
  mkdir -p "$folder/bin"
  {
    echo '#!/bin/sh'
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
      echo "export $1"
      shift
    done
    [ $# -eq 0 ] || shift
    echo "exec '$loader' --library-path '$(dirname "$loader")' --argv0 '$program' '$program' $* \"\$@\""
  } > "$folder/bin/$name"
  chmod +x "$folder/bin/$name"
}
