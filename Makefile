# The front door. `make run` and `make test` are all a newcomer needs; both install what is missing (Debian 12, root).
BUILD ?= build
PYTHON = /usr/bin/python3

.PHONY: all run demo test crash sim agree attack walls fuzz bench install clean deps deps-try deps-test help docs

# the program alone; tests, fuzzers and benchmarks have build directories of their own
all: $(BUILD)/build.ninja
	@[ -x $(BUILD)/src/cli/mailroom ] || echo "building in $(BUILD), which takes about half a minute"
	@words=$$(ninja -C $(BUILD) --quiet src/cli/mailroom) || { echo "$$words"; exit 1; }

help:
	@echo "make run      build, and serve a development home on loopback, with things to try"
	@echo "make demo     the same story played by real clients, then it ends"
	@echo "make test     every test: unit, flow, fuzz smoke, crash, end to end (ASan + UBSan)"
	@echo "make crash    kill -9, failing calls, full disk ...: every message that got its 250 is held once   (ROUNDS=2000)"
	@echo "make sim      the whole mail path on one thread, driven by seeds: disk, network, clock (SEEDS=10000)"
	@echo "make walls    taken-over workers, system calls and memory of every role             (SEEDS=200)"
	@echo "make attack   the known attacks and twenty kinds of flood on a running server"
	@echo "make fuzz     libFuzzer over every parser and engine                        (SECONDS_EACH=60)"
	@echo "make bench    beside Postfix and smtp-sink from Debian's package, in one run"
	@echo "make docs     man page of the settings, sample configuration, table of messages"
	@echo "make install  into DESTDIR/PREFIX                                           (PREFIX=/usr/local)"
	@echo "run and demo take ARGS='--listen mx=127.0.0.1:4525 ...' where a port is taken"

deps:
	@tools/install-deps.sh build

deps-try:
	@tools/install-deps.sh build try

deps-test:
	@tools/install-deps.sh build test

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --buildtype=debugoptimized >/dev/null || { meson setup $(BUILD) --buildtype=debugoptimized; exit 1; }

run: deps-try all
	@tools/run.sh $(ARGS) $(BUILD)/src/cli/mailroom

demo: deps-try all
	@tools/demo.sh $(ARGS) $(BUILD)/src/cli/mailroom

test: deps-test
	@$(PYTHON) tools/run-tests.py

crash: deps-test all
	@$(PYTHON) test/crash/crash.py --mailroom $(BUILD)/src/cli/mailroom --selftest
	@$(PYTHON) test/crash/crash.py --mailroom $(BUILD)/src/cli/mailroom --rounds $(or $(ROUNDS),2000)

sim: deps
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release >/dev/null
	@ninja -C build-bench --quiet test/sim/sim
	@build-bench/test/sim/sim --seeds 1-$(or $(SEEDS),10000)

agree: deps-test all
	@$(PYTHON) test/agree/agree.py --mailroom $(BUILD)/src/cli/mailroom --cases $(or $(CASES),100000)

attack: deps-test all
	@status=0; $(PYTHON) test/attack/attacks.py --mailroom $(BUILD)/src/cli/mailroom || status=1; \
	$(PYTHON) test/attack/floods.py --mailroom $(BUILD)/src/cli/mailroom || status=1; exit $$status

walls: deps-test
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release >/dev/null
	@ninja -C build-bench --quiet
	@$(PYTHON) test/walls/walls.py --build build-bench --seeds $(or $(SEEDS),200)

fuzz: deps-test
	@tools/fuzz.sh $(or $(SECONDS_EACH),60)

bench: deps-test
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release >/dev/null
	@ninja -C build-bench --quiet
	@$(PYTHON) bench/bench.py --mailroom build-bench/src/cli/mailroom --load build-bench/bench/smtp_load

docs: all
	@tools/gen-docs.sh $(BUILD)/src/cli/mailroom

INSTALLED := src/cli/mailroom src/answer/libmailroom-answer.a src/answer/libmailroom-answer.so.1.0.0

install: all
	@[ -z "$(PREFIX)" ] || meson configure $(BUILD) -Dprefix=$(PREFIX)
	@words=$$(ninja -C $(BUILD) --quiet $(INSTALLED)) || { echo "$$words"; exit 1; }
	@meson install -C $(BUILD) --no-rebuild --quiet

clean:
	rm -rf build build-bench build-test build-clang build-fuzz
