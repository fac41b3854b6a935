# SPDX-License-Identifier: MIT
# mpecho: builds with GNU make. `make help` lists the targets.
#
# Variables meant to be set from outside: prefix, DESTDIR, systemdsystemunitdir, catalogdir, sysconfdir, CC, CFLAGS,
# CPPFLAGS, LDFLAGS, LDLIBS, PKG_CONFIG, PYTHON, BUILD, V, FUZZ_SECONDS, MUTATIONS, MUTATION_OPTIONS.

BUILD   ?= build
prefix  ?= /usr/local
sbindir ?= $(prefix)/sbin
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
PYTHON  ?= /usr/bin/python3
PKG_CONFIG ?= pkg-config

# systemd says where a package puts these; with a prefix of their own they stay below it, away from a package's. For
# /usr/local systemd looks there too.
ifeq ($(prefix),/usr)
systemdsystemunitdir ?= $(shell $(PKG_CONFIG) --variable=systemdsystemunitdir systemd)
catalogdir           ?= $(shell $(PKG_CONFIG) --variable=catalogdir systemd)
else
systemdsystemunitdir ?= $(prefix)/lib/systemd/system
catalogdir           ?= $(prefix)/lib/systemd/catalog
endif
sysconfdir           ?= /etc
bashcompletiondir    ?= $(prefix)/share/bash-completion/completions
plugindir            ?= $(prefix)/lib/nagios/plugins
schemadir            ?= $(prefix)/share/mpecho-client

VERSION := $(shell sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)

CFLAGS  ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
# Tests are run once: without optimization they take less than it takes. Flags of others hold for tests, too.
ifeq ($(origin CFLAGS),file)
TEST_CFLAGS ?= -O0 -U_FORTIFY_SOURCE
endif
LDFLAGS ?= -Wl,-z,relro -Wl,-z,now

WARNINGS := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# Machines of 32 bits have large files and the years after 2037 only when asked.
ALL_CPPFLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -DMPECHO_VERSION='"$(VERSION)"' -iquote src $(CPPFLAGS)
# Calls that don't go through a table of jumps (PLT) have a forked handler touch a page of code less.
ALL_CFLAGS   = -std=gnu17 -fno-plt $(WARNINGS) $(SYSTEMD_CFLAGS) $(CFLAGS)
ALL_LDFLAGS  = $(LDFLAGS)
ALL_LDLIBS   = $(LDLIBS)

# Looked up once, when a recipe needs them, so that `make deps` can install what answers.
once = $(eval $(1) := $(shell $(PKG_CONFIG) $(2)))$($(1))
SYSTEMD_CFLAGS = $(call once,SYSTEMD_CFLAGS,--cflags libsystemd)
SYSTEMD_LIBS   = $(call once,SYSTEMD_LIBS,--libs libsystemd)
CMOCKA_LIBS    = $(call once,CMOCKA_LIBS,--libs cmocka)

MAINS    := src/mpecho.c src/client/mpecho-client.c
PROGRAMS := $(BUILD)/mpecho $(BUILD)/mpecho-client
ARCHIVE  := $(BUILD)/libmpecho.a
SOURCES  := $(filter-out $(MAINS),$(wildcard src/*/*.c src/*/*/*.c))
HEADERS  := $(wildcard src/*/*.h src/*/*/*.h)
HANDLING := $(patsubst %,src/%.c,handler/handler handler/echo handler/fork handler/proctitle handler/wipe lib/socket \
	restart/handover restart/ledger)
UNIT     := $(wildcard tests/unit/*/test_*.c tests/unit/*/*/test_*.c)
HELPERS  := $(wildcard tests/unit/*.c)
FUZZ     := $(wildcard tests/fuzz/fuzz_*.c)
REPLAY   := tests/fuzz/replay.c
FUZZ_HELPERS := $(filter-out $(FUZZ) $(REPLAY),$(wildcard tests/fuzz/*.c))

BENCH    := $(wildcard tests/bench/*.c)

objects     = $(patsubst %.c,$(BUILD)/%.o,$(1))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT))
BASELINES  := $(addprefix $(BUILD)/tests/bench/,bare bare-static bare-splice nofork naive bare-datagram)
CROWD      := $(addprefix $(BUILD)/tests/bench/,crowd volley)
PUSHER     := $(BUILD)/tests/bench/pusher
FUZZERS    := $(patsubst %.c,$(BUILD)/%,$(FUZZ))

# Tests wait more than they compute, so more of them run at once than there are processors.
JOBS ?= $(shell echo $$((3 * $$(nproc))))

# libFuzzer has a main of its own; without it, that of the replay.
FUZZ_MAIN    ?= $(REPLAY)
FUZZ_SECONDS ?= 60
MUTATIONS    ?= 100

ifneq ($(filter 1,$(V))$(findstring s,$(firstword -$(MAKEFLAGS))),)
quiet = $(if $(filter 1,$(V)),,@)
else
quiet = @printf '  %-7s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)';
endif

all: $(PROGRAMS)

$(BUILD)/mpecho: $(call objects,src/mpecho.c $(HANDLING)) $(ARCHIVE)
$(BUILD)/mpecho-client: $(call objects,src/client/mpecho-client.c) $(ARCHIVE)
# The service must not carry libm: a mapping costs each fork.
$(BUILD)/mpecho-client: ALL_LDLIBS += -lm
$(UNIT_TESTS): ALL_LDLIBS += -lm
$(BUILD)/mpecho $(UNIT_TESTS) $(FUZZERS): ALL_LDLIBS += $(SYSTEMD_LIBS)
# Private: what these are built from, $(BUILD)/flags too, would inherit it.
$(BUILD)/tests/%.o: private ALL_CPPFLAGS += -iquote tests/unit
$(BUILD)/tests/unit/%.o $(BUILD)/tests/fuzz/%.o: private ALL_CFLAGS += $(TEST_CFLAGS)
# What a handler runs comes first, and begins where the kernel maps pages, 64 KiB at once: the first page
# that a forked handler needs brings all others.
$(BUILD)/mpecho: private ALL_LDFLAGS += -Wl,-z,max-page-size=65536
$(PROGRAMS):
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(ARCHIVE): $(call objects,$(SOURCES)) $(BUILD)/sources
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/%.o: %.c $(BUILD)/flags Makefile
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(UNIT_TESTS): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(HELPERS)) $(ARCHIVE)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LDLIBS)

$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(FUZZ_HELPERS) $(FUZZ_MAIN)) $(ARCHIVE)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

# What mpecho is measured against. They need nothing but libc.
bench_object = $(addprefix $(BUILD)/tests/bench/,$(addsuffix .o,$(1)))
$(BUILD)/tests/bench/bare: $(call bench_object,bare copy port)
$(BUILD)/tests/bench/bare-static: $(call bench_object,bare copy port)
$(BUILD)/tests/bench/bare-static: private LDFLAGS += -static
$(BUILD)/tests/bench/bare-splice: $(call bench_object,bare splice port)
$(BUILD)/tests/bench/nofork: $(call bench_object,nofork port)
$(BUILD)/tests/bench/naive: $(call bench_object,naive port)
$(BUILD)/tests/bench/bare-datagram: $(call bench_object,bare_datagram port)
$(BASELINES):
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(PUSHER): $(call bench_object,pusher)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/bench/crowd: $(call bench_object,crowd) $(ARCHIVE)
$(BUILD)/tests/bench/volley: $(call bench_object,volley) $(ARCHIVE)
$(CROWD):
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lm

# Rewritten only when they differ, so that other flags mean a new build and the same flags none. The sources are for one
# that is removed: the archive must not keep its object. What pkg-config says is known in recipes alone, so -n and -q
# take all for changed.
$(BUILD)/flags: text = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) $(LDLIBS) $(AR)
$(BUILD)/sources: text = $(SOURCES)
$(BUILD)/flags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(text))' | cmp -s - $@ || echo '$(subst ','\'',$(text))' > $@

-include $(patsubst %.o,%.d,$(call objects,$(MAINS) $(SOURCES) $(UNIT) $(HELPERS) $(FUZZ) $(REPLAY) $(FUZZ_HELPERS) $(BENCH)))

# `make deps check` builds nothing before the packages are there, with -j as well.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(BUILD)/flags $(BUILD)/sources deb check inspect check-cbmc check-model mutation check-system check-cross check-sanitize coverage lint fuzz image-bookworm image-trixie image-prover: deps
endif

## all: build mpecho and mpecho-client under build/ (the default)

## deps: install the Debian packages that the other targets named beside it need (as root)
deps:
	@packaging/deps $(MAKECMDGOALS)

## run: start mpecho by socket activation on a free loopback port, echo through it, show its log
run: all
	@packaging/give-back '$(BUILD)'
	@packaging/demonstrate $(BUILD)

## check: run all tests side by side; `make deps check` allows no skipped test (as root)
check: export DEB_BUILD_OPTIONS := nocheck
check:
	@$(PYTHON) -B tests/check.py $(MAKE) $(BUILD) check

## inspect: search the model, lint, and run the quick tests with sanitizers, side by side; `make deps inspect` as check (as root)
inspect:
	@$(PYTHON) -B tests/check.py $(MAKE) $(BUILD) inspect

# What the suites that test programs have in common, before they run side by side.
programs:
	@$(MAKE) -j$(JOBS) all $(UNIT_TESTS) $(FUZZERS) $(BASELINES) $(CROWD) $(PUSHER)

unit-tests: $(UNIT_TESTS)

## check-unit: run the unit tests
check-unit: $(UNIT_TESTS)
	@printf '%s\n' $(sort $(UNIT_TESTS)) | xargs -P $(JOBS) -n 1 tests/quietly

## check-fuzz: run the fuzzers with the inputs under tests/fuzz/seeds only
check-fuzz: $(FUZZERS)
	@printf '%s\n' $(sort $(FUZZERS)) | xargs -P $(JOBS) -n 1 sh -c 'exec tests/quietly "$$0" tests/fuzz/seeds/"$${0##*/fuzz_}"/*'

PYTEST = MPECHO_BUILD=$(abspath $(BUILD)) $(PYTHON) -B -m pytest -p no:cacheprovider -rs

# The tests that find most: each code path once. The others repeat these paths with volume, for long or at every system
# call, or look at what surrounds the programs.
QUICK := $(patsubst %,tests/integration/test_%.py,client client_check client_datagrams client_json client_load \
	client_mtu echo handlers handover handover_store inetd journal limits listen signals usage) \
	-k 'not gigabyte and not megabytes and not 300000000 and not accumulates and \
	not more_connections_than and not not_read and not waits_for_the_manager'

## check-model: search all states of a model of the handover with spin, about a minute
check-model:
	@CC='$(CC)' tests/model/run $(BUILD)

## check-cbmc: prove with cbmc what reads bytes of others, a few minutes (as root where cbmc is not installed)
check-cbmc:
	@command -v cbmc >/dev/null || $(MAKE) --no-print-directory image-prover
	@tests/cbmc/run $(BUILD)

## check-integration: run the tests of the built programs
check-integration: all $(BASELINES) $(CROWD) $(PUSHER)
	@$(PYTEST) -n $(JOBS) $(PYTEST_OPTIONS) tests/integration

## check-quick: run unit tests, seeds and the integration tests that find most, in a minute
check-quick:
	@$(MAKE) --no-print-directory -j$(JOBS) all $(UNIT_TESTS) $(FUZZERS)
	@$(MAKE) --no-print-directory -j -O check-unit check-fuzz check-integration-quick

check-integration-quick: all
	@$(PYTEST) -n $(JOBS) $(QUICK) $(PYTEST_OPTIONS)

## check-system: run the tests of the packages, most of them on booted Debian 12 and 13 (as root)
check-system: export DEB_BUILD_OPTIONS := nocheck
check-system: check-packages check-bookworm check-trixie

## check-packages: run the tests of the packages as files: lintian, hardening, a second build
check-packages: deb
	@$(PYTEST) -v $(PYTEST_OPTIONS) tests/system/test_packages.py

## check-bookworm: run the tests of the packages on booted Debian 12 (as root)
## check-trixie: run the tests of the packages on booted Debian 13 (as root)
# Without -v: xdist then asks each worker for its version first, and may start the tests beside its main thread.
check-bookworm check-trixie: check-%: deb previous image-%
	@$(PYTEST) -n 3 --dist=loadgroup --release=$* --ignore=tests/system/test_packages.py $(PYTEST_OPTIONS) tests/system

image-bookworm image-trixie image-prover: image-%:
	@$(PYTHON) -B tests/system/machine.py $* $(BUILD)/machines

previous: deb
	@tests/system/previous $(BUILD)

# bare-static cannot be linked with them. A report names lines, for which -g1 is enough.
sanitize = $(MAKE) --no-print-directory BUILD=$(BUILD)/sanitize LDFLAGS= BASELINES= \
	CFLAGS='-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' TEST_CFLAGS=-O0

## check-sanitize: run unit tests, seeds and integration tests built with the address and undefined-behaviour sanitizers
check-sanitize:
	@$(sanitize) PYTEST_OPTIONS='--ignore=tests/integration/test_bench.py $(PYTEST_OPTIONS)' \
		check-unit check-fuzz check-integration

# In inspect. The tests of QUICK take a third of the processor time of all integration tests: sanitizers find what is wrong
# with a code path the first time that it is run.
check-sanitize-quick:
	@$(sanitize) -j$(JOBS) programs
	@$(sanitize) check-quick

# gcc counts conditions from version 14 on. Where it is older, that of the prover's tree compiles for this machine. Each
# user may write counts: some services run as nobody. The servers of test_bench do not count, and are not built.
COUNTS_CONDITIONS = $(shell $(CC) -fcondition-coverage -E -x c /dev/null >/dev/null 2>&1 && echo yes)
DEBIAN_13 = $(CURDIR)/tests/coverage/debian13 $(abspath $(BUILD))
GCOV    ?= gcov
COVERED ?= check-unit check-integration

## coverage: run unit and integration tests, and show how much of src/ they reach (as root where gcc is older than 14)
coverage: compiler = $(if $(COUNTS_CONDITIONS),$(CC),$(DEBIAN_13) gcc)
coverage: reader = $(if $(COUNTS_CONDITIONS),$(GCOV),$(DEBIAN_13) gcov)
coverage:
	@$(if $(COUNTS_CONDITIONS),,$(MAKE) --no-print-directory image-prover)
	@! [ -d $(BUILD)/coverage ] || find $(BUILD)/coverage -name '*.gcda' -delete
	@umask 0; GCOV_ERROR_FILE=/dev/null $(MAKE) --no-print-directory -k BUILD=$(BUILD)/coverage BASELINES= \
		CC='$(compiler)' CFLAGS='-O0 -g --coverage' LDFLAGS='--coverage -Wl,-z,now' \
		CPPFLAGS='-include tests/coverage/flush.h -fcondition-coverage' \
		PYTEST_OPTIONS='--ignore=tests/integration/test_bench.py $(PYTEST_OPTIONS)' $(COVERED); tests=$$?; \
		GCOV='$(reader)' $(PYTHON) tests/coverage/report.py $(BUILD)/coverage && exit $$tests

## check-valgrind: run the unit tests under valgrind
check-valgrind: $(UNIT_TESTS)
	@printf '%s\n' $(sort $(UNIT_TESTS)) | \
		UNDER='valgrind --quiet --error-exitcode=99 --leak-check=full --child-silent-after-fork=yes' \
		xargs -P $(JOBS) -n 1 tests/quietly

## check-cross: build for arm64, armhf, riscv64 and s390x, run unit tests and the container of three under qemu; downloads compilers and kernels (as root)
check-cross:
	@tests/cross/run $(BUILD)

## fuzz: run each fuzzer with clang's libFuzzer for FUZZ_SECONDS (60); what it finds is under build/fuzz/found/
fuzz:
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang FUZZ_MAIN= LDFLAGS=-fsanitize=fuzzer \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' \
		$(patsubst $(BUILD)/%,$(BUILD)/fuzz/%,$(FUZZERS))
	@tests/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS)

## mutation: change src/ in MUTATIONS (100) places, one at a time, and name the changes that no test notices, for hours
mutation: all
	@tests/mutation/run --count=$(MUTATIONS) $(MUTATION_OPTIONS) $(BUILD)

## bench: measure mpecho against other echo servers, 10 to 15 minutes; figures go to build/bench/ (as root)
bench: all $(BASELINES) $(CROWD) $(PUSHER)
	@$(PYTHON) tests/bench/bench.py $(BENCH_OPTIONS) $(BUILD)

## bench-quick: measure mpecho against a bare accept-fork-echo loop for a minute (as root)
bench-quick: all $(BASELINES) $(CROWD) $(PUSHER)
	@$(PYTHON) tests/bench/bench.py --quick $(BENCH_OPTIONS) $(BUILD)

## lint: clang-format, clang-tidy, cppcheck, shellcheck, and the direction of includes
lint:
	@packaging/lint

## format: rewrite the C sources as .clang-format says
format:
	@clang-format -i $(MAINS) $(SOURCES) $(HEADERS) $(UNIT) $(HELPERS) $(FUZZ) $(REPLAY) $(FUZZ_HELPERS) $(BENCH) $(wildcard tests/cbmc/*.c tests/*/*.h tests/*/*/*.h)

# Without it the units would land in the root directory.
require-unit-directories:
	@if [ -z '$(systemdsystemunitdir)' ] || [ -z '$(catalogdir)' ]; then \
		echo "make: Cannot find systemd's directories: $(PKG_CONFIG) has no systemd.pc" \
			"(Debian: pkgconf and systemd-dev or systemd); or set systemdsystemunitdir and catalogdir" >&2; \
		exit 1; \
	fi

## install: install under $(DESTDIR)$(prefix); with prefix=/usr units and catalog where systemd looks for them
install: all require-unit-directories
	install -D -m 755 $(BUILD)/mpecho '$(DESTDIR)$(sbindir)/mpecho'
	install -D -m 755 $(BUILD)/mpecho-client '$(DESTDIR)$(bindir)/mpecho-client'
	sed 's|/usr/sbin/|$(sbindir)/|g' systemd/mpecho.service > $(BUILD)/mpecho.service
	sed -e '/^Description=/s/$$/, one connection/' \
		-e '/^StartLimitIntervalSec=/a # Connections that fail leave no unit: there may be any number.\nCollectMode=inactive-or-failed' \
		-e '/^# ----/a # For one connection.\nTimeoutStopSec=10s\nMemoryMax=32M' \
		-e '/^# From here/,/^# ----/d' -e 's/^Type=notify/Type=exec/' -e 's| /run/systemd/notify||' $(BUILD)/mpecho.service \
		> $(BUILD)/mpecho@.service
	install -D -m 644 -t '$(DESTDIR)$(systemdsystemunitdir)' systemd/mpecho.socket systemd/mpecho-udp.socket systemd/mpecho-metrics.socket \
		$(BUILD)/mpecho.service $(BUILD)/mpecho@.service
	install -D -m 644 -t '$(DESTDIR)$(catalogdir)' systemd/mpecho.catalog
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man8' packaging/mpecho.8
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man1' packaging/mpecho-client.1
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man1' packaging/check_mpecho.1
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man1' packaging/mpecho-echoping.1
	install -d '$(DESTDIR)$(plugindir)'
	sed 's|/usr/bin/|$(bindir)/|' packaging/check_mpecho > '$(DESTDIR)$(plugindir)/check_mpecho'
	chmod 755 '$(DESTDIR)$(plugindir)/check_mpecho'
	sed 's|/usr/bin/|$(bindir)/|' packaging/mpecho-echoping > '$(DESTDIR)$(bindir)/mpecho-echoping'
	chmod 755 '$(DESTDIR)$(bindir)/mpecho-echoping'
	install -D -m 644 -t '$(DESTDIR)$(schemadir)' packaging/mpecho-client.schema.json
	install -D -m 644 -t '$(DESTDIR)$(bashcompletiondir)' packaging/bash-completion/mpecho-client
	[ -e '$(DESTDIR)$(sysconfdir)/default/mpecho' ] || \
		install -D -m 644 packaging/default '$(DESTDIR)$(sysconfdir)/default/mpecho'
	@packaging/give-back '$(BUILD)'

## deb: build the Debian packages under build/deb/
deb:
	@packaging/deb '$(BUILD)/deb'
	@packaging/give-back '$(BUILD)'

## uninstall: remove what install put there, but the settings in /etc/default/mpecho
uninstall: require-unit-directories
	rm -f '$(DESTDIR)$(sbindir)/mpecho' '$(DESTDIR)$(bindir)/mpecho-client' \
		$(foreach unit,mpecho.socket mpecho-udp.socket mpecho-metrics.socket mpecho.service mpecho@.service,'$(DESTDIR)$(systemdsystemunitdir)/$(unit)') \
		'$(DESTDIR)$(catalogdir)/mpecho.catalog' \
		'$(DESTDIR)$(mandir)/man8/mpecho.8' '$(DESTDIR)$(mandir)/man1/mpecho-client.1' \
		'$(DESTDIR)$(mandir)/man1/check_mpecho.1' '$(DESTDIR)$(plugindir)/check_mpecho' \
		'$(DESTDIR)$(mandir)/man1/mpecho-echoping.1' '$(DESTDIR)$(bindir)/mpecho-echoping' \
		'$(DESTDIR)$(schemadir)/mpecho-client.schema.json' \
		'$(DESTDIR)$(bashcompletiondir)/mpecho-client'

## clean: remove everything that was built but the images of machines, cross compilers and the inetds, which take longest
clean:
	! [ -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 ! -name machines ! -name peers ! -name cross -exec rm -rf {} +

## distclean: remove these as well (as root, as they were made)
distclean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  %-18s %s\n", $$1, $$2 }'

.PHONY: all check inspect check-quick check-cross unit-tests check-unit check-fuzz check-integration check-integration-quick check-system check-packages check-bookworm check-trixie \
	check-sanitize check-cbmc check-model check-sanitize-quick check-valgrind coverage programs previous image-bookworm image-trixie image-prover fuzz mutation bench bench-quick run deps require-unit-directories install deb uninstall lint format clean distclean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
