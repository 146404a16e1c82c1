#!/bin/bash
# install-deps.sh build|try|test ...: installs the Debian packages of these kinds that are missing; says nothing when all are there.
set -eu
build="gcc meson ninja-build pkg-config python3 python3-yaml libevent-dev libssl-dev libsqlite3-dev libgsasl-dev libcrypt-dev libconfuse-dev libjansson-dev libseccomp-dev libarchive-dev libcurl4-openssl-dev libidn2-dev libunbound-dev libcmocka-dev"
try="swaks libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl curl" # the clients that run and demo speak of
test="clang libclang-rt-14-dev python3-pytest python3-pytest-xdist git make msmtp mpop mutt openssl strace sqlite3 gsasl mandoc procps util-linux mount e2fsprogs faketime iproute2 ldnsutils python3-dkim python3-nacl"
want=""
for kind in "$@"; do
	case $kind in
	build) want="$want $build" ;;
	try) want="$want $try" ;;
	test) want="$want $try $test" ;;
	*) echo "install-deps.sh: no such kind: $kind" >&2; exit 2 ;;
	esac
done
command -v npm >/dev/null || case " $* " in *" test "*) want="$want nodejs npm" ;; esac # there may be another one than Debian's
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
