#!/bin/bash
# Unpacks packages of Debian, and all that they depend on, into a new folder: ./debian.sh FOLDER PACKAGE...
# No script of a package is run; what it would have made and a test needs is made here.
set -euo pipefail
folder=${1:?usage: debian.sh FOLDER PACKAGE...}
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/archives/partial"
touch "$work/status"
# As if nothing were installed on this machine.
apt-get -qq -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=root \
  --no-install-recommends --download-only --yes install "$@"
rm -rf "$folder"
mkdir -p "$folder"/usr/{bin,lib,lib64,sbin}
ln -s usr/{bin,lib,lib64,sbin} "$folder"
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$folder"
done
# Programs that ask who they are want a name for the user that they run as.
cp "$folder"/usr/share/base-passwd/passwd.master "$folder"/etc/passwd
cp "$folder"/usr/share/base-passwd/group.master "$folder"/etc/group
rm -rf "$folder"/usr/share/{doc,info,lintian,locale,man,zoneinfo} "$folder"/var/{cache,lib/apt}
