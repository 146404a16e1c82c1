# dev-system.sh: what run.sh and demo.sh share (sourced): options, a development home, the system on loopback, its ports and passwords.

listen=()
declare -A at

# [--listen NAME=ADDRESS:PORT ...] PROGRAM [HOME]; a listener is moved as by "mailroom serve --listen"
dev_options() {
	while [ "${1:-}" = --listen ] && [ $# -ge 2 ]; do
		listen+=(--listen "$2")
		at[${2%%=*}]=${2#*=}
		shift 2
	done
	if [ $# -lt 1 ] || [ $# -gt 2 ] || [ ! -x "$1" ]; then
		echo "usage: $(basename "$0") [--listen NAME=ADDRESS:PORT ...] PROGRAM [HOME]" >&2
		exit 2
	fi
	mailroom=$1
	home=${2:-}
}

# makes $home where it is not there yet, serves it, and waits until it takes mail; sets pid, log and at[LISTENER]=ADDRESS:PORT
dev_start() {
	local from name address number rest
	"$mailroom" init --home "$home" --dev >"$home/init.log" 2>&1 || { cat "$home/init.log" >&2; exit 1; }
	while read -r name _ address number rest; do
		[[ $number =~ ^[0-9]+$ ]] && at[$name]=${at[$name]:-$address:$number}
	done < <("$mailroom" check --home "$home" 2>/dev/null)
	log=$home/mailroom.log
	from=$(stat -c %s "$log" 2>/dev/null || echo 0)
	"$mailroom" serve --home "$home" "${listen[@]}" 2>>"$log" &
	pid=$!
	for _ in $(seq 300); do
		tail -c +$((from + 1)) "$log" 2>/dev/null | grep -q 'event=serving' && return
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	tail -c +$((from + 1)) "$log" >&2
	echo "mailroom did not start; the last lines above say why" >&2
	kill -TERM $pid 2>/dev/null
	exit 1
}

dev_password() { awk -v a="$1" '$1 == a {print $2}' "$home/dev-passwords"; }
