#!/bin/sh
# seal-library.sh IN.a OUT.a: one object of all of it, in which only the names that begin with mailroom_ can be seen. So the static library
# clashes with nothing in the program that takes it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ld -r -o "$work/all.o" --whole-archive "$1"
objcopy --wildcard --keep-global-symbol='mailroom_*' "$work/all.o" "$work/mailroom-answer.o"
rm -f "$2"
ar rcsD "$2" "$work/mailroom-answer.o"
