#!/usr/bin/env bash
# setup.sh - makes WinDbg's engine ready to run here, and prints where its host is.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# The engine is in the NuGet package Microsoft.Debugging.Platform.DbgEng, which "dotnet restore"
# fetches into a folder outside of the tree: KDLENS_WINDBG, or ~/.cache/kdlens/windbg. There, too:
# the host that host.cpp is built to, and
# a Wine prefix, "prefix". What is there is used again; nothing of it
# is ours to hand on.
#
# Exit status 77, with the reason, when it cannot be had here: tests then skip.
set -euo pipefail

package=Microsoft.Debugging.Platform.DbgEng
version=20260109.1235.0
folder=${KDLENS_WINDBG:-${XDG_CACHE_HOME:-$HOME/.cache}/kdlens/windbg}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/host.cpp
compiler=x86_64-w64-mingw32-g++

skip()
{
    printf 'WinDbg: %s\n' "$*" >&2
    exit 77
}

needs()
{
    command -v "$1" >/dev/null || skip "needs $1 (Debian package $2)"
}

fetch()
{
    local project=$folder/fetch

    rm -rf "$project"
    mkdir -p "$project"
    cat >"$project/fetch.csproj" <<END
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net8.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageReference Include="$package" Version="$version" /></ItemGroup>
</Project>
END
    if ! (cd "$project" && DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 timeout 600 \
        dotnet restore fetch.csproj --packages packages </dev/null >log 2>&1); then
        tail -n 3 "$project/log" >&2
        skip "dotnet restore cannot fetch $package $version"
    fi
    cp "$project/packages/${package,,}/$version/content/amd64/"*.dll "$folder/"
    rm -rf "$project"
}

# One host for each content of its source, so that checkouts that differ can share the folder.
build_host()
{
    local host

    host=$folder/host-$(cat "$source" "${source%/*}/windowssockets.h" | sha256sum | cut -c 1-12).exe
    if [ ! -x "$host" ]; then
        "$compiler" -std=c++17 -O1 -Wall -Wextra -Werror -Wno-unknown-pragmas -static \
            -o "$host.new" "$source" -luuid
        mv "$host.new" "$host"
    fi
    printf '%s\n' "$host"
}

make_prefix()
{
    rm -rf "$folder/prefix.new"
    WINEPREFIX=$folder/prefix.new WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" \
        timeout 300 "$wine" wineboot -i >/dev/null 2>&1 || skip "Wine cannot make a prefix"
    WINEPREFIX=$folder/prefix.new timeout 300 wineserver -w
    mv "$folder/prefix.new" "$folder/prefix"
}

wine=$(command -v wine64 || true)
if [ -z "$wine" ] && [ -x /usr/lib/wine/wine64 ]; then
    wine=/usr/lib/wine/wine64
fi
[ -n "$wine" ] || skip "needs wine64 (Debian package wine64)"
needs wineserver wine
needs "$compiler" g++-mingw-w64-x86-64-win32
[ "$(uname -m)" = x86_64 ] || skip "the engine needs an x86-64 machine"

mkdir -p "$folder"
exec 9>"$folder/lock"
flock -w 900 9 || skip "another setup.sh has held $folder/lock for 15 minutes"
if [ ! -f "$folder/dbgeng.dll" ]; then
    needs dotnet dotnet-sdk-8.0
    fetch
fi
[ -d "$folder/prefix" ] || make_prefix
build_host
