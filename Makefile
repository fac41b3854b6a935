# mpecho: builds with GNU make. `make help` lists the targets.
#
# Variables meant to be set from outside: prefix, DESTDIR, CC, CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS, PYTHON, BUILD, V, FUZZ_SECONDS.

BUILD   ?= build
prefix  ?= /usr/local
sbindir ?= $(prefix)/sbin
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
PYTHON  ?= /usr/bin/python3

# Where systemd looks for these is the system's choice, not the prefix's.
systemdsystemunitdir ?= $(shell pkg-config --variable=systemdsystemunitdir systemd)
catalogdir           ?= $(shell pkg-config --variable=catalogdir systemd)
sysconfdir           ?= /etc
bashcompletiondir    ?= $(prefix)/share/bash-completion/completions

VERSION := $(shell sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)

CFLAGS  ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDFLAGS ?= -Wl,-z,relro -Wl,-z,now

WARNINGS := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes
ALL_CPPFLAGS = -D_GNU_SOURCE -DMPECHO_VERSION='"$(VERSION)"' -iquote src $(CPPFLAGS)
# Calls that don't go through a table of jumps (PLT) have a forked handler touch a page of code less.
ALL_CFLAGS   = -std=gnu17 -fno-plt $(WARNINGS) $(SYSTEMD_CFLAGS) $(CFLAGS)
ALL_LDFLAGS  = $(LDFLAGS)
ALL_LDLIBS   = $(LDLIBS)

# Looked up when a recipe needs them, so that `make deps` can install what answers.
SYSTEMD_CFLAGS = $(shell pkg-config --cflags libsystemd)
CMOCKA_LIBS    = $(shell pkg-config --libs cmocka)

MAINS    := src/mpecho.c src/client/mpecho-client.c
PROGRAMS := $(BUILD)/mpecho $(BUILD)/mpecho-client
ARCHIVE  := $(BUILD)/libmpecho.a
SOURCES  := $(filter-out $(MAINS),$(wildcard src/*/*.c))
HEADERS  := $(wildcard src/*/*.h)
UNIT     := $(wildcard tests/unit/*/test_*.c)
HELPERS  := $(wildcard tests/unit/*.c)
FUZZ     := $(wildcard tests/fuzz/fuzz_*.c)
REPLAY   := tests/fuzz/replay.c
FUZZ_HELPERS := $(filter-out $(FUZZ) $(REPLAY),$(wildcard tests/fuzz/*.c))

BENCH    := $(wildcard tests/bench/*.c)

objects     = $(patsubst %.c,$(BUILD)/%.o,$(1))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT))
BASELINES  := $(addprefix $(BUILD)/tests/bench/,bare bare-static bare-splice nofork textbook)
CROWD      := $(BUILD)/tests/bench/crowd
FUZZERS    := $(patsubst %.c,$(BUILD)/%,$(FUZZ))

# libFuzzer has a main of its own; without it, that of the replay.
FUZZ_MAIN    ?= $(REPLAY)
FUZZ_SECONDS ?= 60

ifeq ($(V),1)
quiet =
else
quiet = @printf '  %-7s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)';
endif

all: $(PROGRAMS)

$(BUILD)/mpecho: $(call objects,src/mpecho.c) $(ARCHIVE)
$(BUILD)/mpecho-client: $(call objects,src/client/mpecho-client.c) $(ARCHIVE)
# The service must not carry libm: a mapping costs each fork.
$(BUILD)/mpecho-client: ALL_LDLIBS += -lm
$(UNIT_TESTS): ALL_LDLIBS += -lm
$(BUILD)/tests/%.o: ALL_CPPFLAGS += -iquote tests/unit
# Its code begins where the kernel reads in pages, 64 KiB at once, and is shorter: the first page that
# a forked handler needs brings all others.
$(BUILD)/mpecho: private ALL_LDFLAGS += -Wl,-z,max-page-size=65536
$(PROGRAMS):
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(ARCHIVE): $(call objects,$(SOURCES))
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
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
$(BUILD)/tests/bench/textbook: $(call bench_object,textbook port)
$(BASELINES):
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(CROWD): $(call bench_object,crowd) $(ARCHIVE)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lm

# Rewritten only when it differs, so that other flags mean a new build and the same flags none.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS))' > $@

-include $(patsubst %.o,%.d,$(call objects,$(MAINS) $(SOURCES) $(UNIT) $(HELPERS) $(FUZZ) $(REPLAY) $(FUZZ_HELPERS) $(BENCH)))

# `make deps check` builds nothing before the packages are there, with -j as well.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(BUILD)/flags deb check-model check-system fuzz: deps
endif

## all: build mpecho and mpecho-client under build/ (the default)

## deps: install the Debian packages that the other targets named beside it need (as root)
deps:
	@packaging/deps $(MAKECMDGOALS)

## run: start mpecho by socket activation on a free loopback port, echo through it, show its log
run: all
	@packaging/demonstrate $(BUILD)

## check: run all tests of the programs
check: check-unit check-fuzz check-integration check-system

## check-unit: run the unit tests
check-unit: $(UNIT_TESTS)
	@for test in $(sort $(UNIT_TESTS)); do "$$test" || exit 1; done

## check-fuzz: run the fuzzers with the inputs under tests/fuzz/seeds only
check-fuzz: $(FUZZERS)
	@for fuzzer in $(sort $(FUZZERS)); do "$$fuzzer" tests/fuzz/seeds/$${fuzzer##*/fuzz_}/* || exit 1; done

## check-model: search all states of a model of the handover with spin, a few minutes
check-model:
	@CC='$(CC)' tests/model/run $(BUILD)

## check-integration: run the tests of the built programs
check-integration: all $(filter-out %-static,$(BASELINES)) $(CROWD)
	@MPECHO_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest $(PYTEST_OPTIONS) tests/integration

## check-system: run the tests of the packages, most of them on booted Debian 12 and 13 (as root)
check-system:
	@MPECHO_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -rs $(PYTEST_OPTIONS) tests/system

## check-sanitize: run unit tests, seeds and integration tests built with the address and undefined-behaviour sanitizers
check-sanitize:
	@$(MAKE) BUILD=$(BUILD)/sanitize LDFLAGS= \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' \
		check-unit check-fuzz check-integration

## check-valgrind: run the unit tests under valgrind
check-valgrind: $(UNIT_TESTS)
	@for test in $(sort $(UNIT_TESTS)); do \
		valgrind --quiet --error-exitcode=99 --leak-check=full --child-silent-after-fork=yes "$$test" || exit 1; \
	done

## fuzz: run each fuzzer with clang's libFuzzer for FUZZ_SECONDS (60); what it finds is under build/fuzz/found/
fuzz:
	@$(MAKE) BUILD=$(BUILD)/fuzz CC=clang FUZZ_MAIN= LDFLAGS=-fsanitize=fuzzer \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' \
		$(patsubst $(BUILD)/%,$(BUILD)/fuzz/%,$(FUZZERS))
	@tests/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS)

## bench: measure mpecho against other echo servers, 10 to 15 minutes; figures go to build/bench/ (as root)
bench: all $(BASELINES) $(CROWD)
	@$(PYTHON) tests/bench/bench.py $(BENCH_OPTIONS) $(BUILD)

## bench-quick: measure mpecho against a bare accept-fork-echo loop for a minute (as root)
bench-quick: all $(BASELINES) $(CROWD)
	@$(PYTHON) tests/bench/bench.py --quick $(BENCH_OPTIONS) $(BUILD)

## lint: clang-format, clang-tidy, cppcheck and shellcheck
lint:
	@packaging/lint

## format: rewrite the C sources as .clang-format says
format:
	@clang-format -i $(MAINS) $(SOURCES) $(HEADERS) $(UNIT) $(HELPERS) $(FUZZ) $(REPLAY) $(FUZZ_HELPERS) $(BENCH) $(wildcard tests/*/*.h tests/*/*/*.h)

## install: install under $(DESTDIR)$(prefix); units and catalog where systemd looks for them
install: all
	install -D -m 755 $(BUILD)/mpecho '$(DESTDIR)$(sbindir)/mpecho'
	install -D -m 755 $(BUILD)/mpecho-client '$(DESTDIR)$(bindir)/mpecho-client'
	install -D -m 644 -t '$(DESTDIR)$(systemdsystemunitdir)' systemd/mpecho.socket
	install -d '$(DESTDIR)$(systemdsystemunitdir)'
	sed 's|/usr/sbin/|$(sbindir)/|' systemd/mpecho.service > '$(DESTDIR)$(systemdsystemunitdir)/mpecho.service'
	install -D -m 644 -t '$(DESTDIR)$(catalogdir)' systemd/mpecho.catalog
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man8' packaging/mpecho.8
	install -D -m 644 -t '$(DESTDIR)$(mandir)/man1' packaging/mpecho-client.1
	install -D -m 644 -t '$(DESTDIR)$(bashcompletiondir)' packaging/bash-completion/mpecho-client
	[ -e '$(DESTDIR)$(sysconfdir)/default/mpecho' ] || \
		install -D -m 644 packaging/default '$(DESTDIR)$(sysconfdir)/default/mpecho'

## deb: build the Debian packages under build/deb/
deb:
	@packaging/deb '$(BUILD)/deb'

## uninstall: remove what install put there, but the settings in /etc/default/mpecho
uninstall:
	rm -f '$(DESTDIR)$(sbindir)/mpecho' '$(DESTDIR)$(bindir)/mpecho-client' \
		'$(DESTDIR)$(systemdsystemunitdir)/mpecho.socket' '$(DESTDIR)$(systemdsystemunitdir)/mpecho.service' \
		'$(DESTDIR)$(catalogdir)/mpecho.catalog' \
		'$(DESTDIR)$(mandir)/man8/mpecho.8' '$(DESTDIR)$(mandir)/man1/mpecho-client.1' \
		'$(DESTDIR)$(bashcompletiondir)/mpecho-client'

## clean: remove everything that was built
clean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  %-18s %s\n", $$1, $$2 }'

.PHONY: all check check-unit check-fuzz check-integration check-model check-system check-sanitize check-valgrind fuzz bench bench-quick run deps install deb uninstall lint format clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
