#!/bin/bash
# gen-docs.sh [--check] PROGRAM: docs/mailroom.conf.sample and docs/man/mailroom.conf.5 from what the program says of its settings, docs/MESSAGES.md
# from src/ipc/messages.def.
# --check changes nothing and fails where the files in the tree differ.
set -eu
check=
[ "${1:-}" = --check ] && { check=1; shift; }
program=$1
top=$(cd "$(dirname "$0")/.." && pwd)
docs=$top/docs
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
"$program" check --print-sample >"$new/mailroom.conf.sample"
"$program" check --print-man >"$new/settings"
sed -e "/^@SETTINGS@\$/{r $new/settings" -e 'd}' "$docs/man/mailroom.conf.5.in" >"$new/mailroom.conf.5"
python3 "$top/tools/gen-messages.py" --doc "$top/src/ipc/messages.def" >"$new/MESSAGES.md"
status=0
for pair in mailroom.conf.sample: mailroom.conf.5:man/ MESSAGES.md:; do
	file=${pair%%:*} place=$docs/${pair#*:}${pair%%:*}
	if cmp -s "$new/$file" "$place"; then
		continue
	elif [ -n "$check" ]; then
		echo "$place is not what the program says; tools/gen-docs.sh PROGRAM writes it again" >&2
		status=1
	else
		cp "$new/$file" "$place"
	fi
done
exit $status
