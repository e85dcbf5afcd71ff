#!/usr/bin/env bash
# Fetch an arm64 Python 3.13 and an emulator that runs it, both of Debian trixie: deploy/arm64.sh FOLDER
# Then FOLDER/python runs a program as Lambda's processor and Python would. Needs apt-get with a Debian mirror, no root.
set -euo pipefail
unset CDPATH

folder=$(realpath -m "$1")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 -E '/debian/?$') || {
  echo "apt-get names no Debian mirror, so there is no arm64 Python to run" >&2
  exit 1
}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
host=$(dpkg --print-architecture)

rm -rf "$folder"
mkdir -p "$folder"

# apt COMMAND…: apt-get for trixie's packages of architecture $arch, with its state below $folder and none of this machine's.
apt() {
  local at="$folder/apt-$arch"
  mkdir -p "$at"/{lists/partial,archives/partial}
  : >"$at/status"
  echo "deb [arch=$arch signed-by=$keyring] ${mirror%/} trixie main" >"$at/sources.list"
  apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User= \
    -o Dir::Etc::SourceList="$at/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::lists="$at/lists" \
    -o Dir::State="$at" -o Dir::State::status="$at/status" -o Dir::Cache="$at" -o Dir::Cache::archives="$at/archives" "$@"
}

# bookworm's emulator is five times slower. The program is linked statically: it needs no other package.
arch=$host
apt update
(cd "$folder/apt-$arch/archives" && apt download qemu-user)
dpkg-deb --fsys-tarfile "$folder/apt-$arch"/archives/qemu-user_*.deb | tar -xC "$folder" --strip-components=3 ./usr/bin/qemu-aarch64
rm -rf "$folder/apt-$arch" # on an arm64 machine the packages below would be unpacked beside this one

arch=arm64
apt update
apt -y --no-install-recommends --download-only install python3.13
mkdir -p "$folder/root/usr/lib"
ln -s usr/lib "$folder/root/lib" # the loader's path is /lib/ld-linux-aarch64.so.1
for package in "$folder/apt-$arch"/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
rm -rf "$folder"/apt-*

# Last: if this file exists, the folder is complete.
cat >"$folder/python.part" <<'END'
#!/bin/sh
at=$(dirname "$(realpath "$0")")
exec "$at/qemu-aarch64" -L "$at/root" "$at/root/usr/bin/python3.13" "$@"
END
chmod +x "$folder/python.part"
mv "$folder/python.part" "$folder/python"
