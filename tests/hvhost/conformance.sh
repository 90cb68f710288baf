#!/usr/bin/env bash
# conformance.sh - whether guests that nobody here wrote work with hvhost: Linux and iPXE.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tests/hvhost/conformance.sh [TEST...]     e.g. Conformance.test_ipxe
#
# Fetches Debian's packages with apt-get, as any user; installs nothing. KDLENS_HVHOST names
# hvhost.efi, KDLENS_GUESTS a folder to keep the packages in.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ -z "${KDLENS_GUESTS:-}" ]; then
    KDLENS_GUESTS=$(mktemp -d)
    trap 'rm -rf "$KDLENS_GUESTS"' EXIT
fi
export KDLENS_GUESTS
mkdir -p "$KDLENS_GUESTS"

kernel_package()
{
    apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'
}

fetch()
{
    local package
    for package in ipxe busybox-static "$(kernel_package)"; do
        (cd "$KDLENS_GUESTS" && apt-get download -q "$package" >/dev/null)
        dpkg-deb -x "$KDLENS_GUESTS/${package}"_*.deb "$KDLENS_GUESTS"
    done
}

if [ ! -e "$KDLENS_GUESTS/boot/ipxe.efi" ]; then
    fetch
fi
for package in "$KDLENS_GUESTS"/*.deb; do
    printf 'guest: %s\n' "${package##*/}"
done
python3 -B "$here/conformance/conformance.py" -v "$@"
