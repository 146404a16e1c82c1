#!/bin/bash
# fuzz.sh SECONDS: runs every libFuzzer target for that long, one after the other, starting from its corpus; a finding ends it with status 1.
set -u
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true -Db_lundef=false >/dev/null || exit 1
ninja -C build-fuzz --quiet || exit 1
passed=0 failed=0
for target in build-fuzz/test/fuzz/fuzz-*; do
	[ -x "$target" ] && [ -f "$target" ] || continue
	name=${target##*/fuzz-}
	work=build-fuzz/corpus-$name
	mkdir -p "$work"
	dict=test/fuzz/$name.dict
	printf '%-12s ' "$name"
	if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build-fuzz/finding-$name-" \
		$([ -f "$dict" ] && echo -dict="$dict") "$work" "test/fuzz/corpus/$name" >"build-fuzz/$name.log" 2>&1; then
		grep -E 'stat::number_of_executed_units' "build-fuzz/$name.log" | awk '{print $2 " runs, no finding"}'
		passed=$((passed + 1))
	else
		echo "FINDING:"
		tail -30 "build-fuzz/$name.log"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
