#!/usr/bin/env bash
# Installs the Debian packages of packages.txt that are missing. A missing tool is a failure.
set -euo pipefail
cd "$(dirname "$0")"
mapfile -t wanted < packages.txt
missing=()
for name in "${wanted[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed \
        || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install --yes --quiet=2 \
    --no-install-recommends "${missing[@]}"
