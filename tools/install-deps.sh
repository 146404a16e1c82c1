#!/bin/bash
# install-deps.sh build|test ...: installs the Debian packages of these kinds that are missing; says nothing when all are there.
set -eu
build="gcc meson ninja-build pkg-config python3 python3-yaml libevent-dev libssl-dev libsqlite3-dev libgsasl-dev libcrypt-dev libconfuse-dev libjansson-dev libseccomp-dev libcmocka-dev"
test="clang libclang-rt-14-dev python3-pytest swaks libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl curl msmtp mpop mutt openssl strace sqlite3 gsasl mandoc procps"
want=""
for kind in "$@"; do
	case $kind in
	build) want="$want $build" ;;
	test) want="$want $test" ;;
	*) echo "install-deps.sh: no such kind: $kind" >&2; exit 2 ;;
	esac
done
missing=""
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "These packages are missing and need root to install: apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
