# mpecho: builds with GNU make. `make help` lists the targets.
#
# Variables meant to be set from outside: CC, CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS, BUILD, V.

BUILD   ?= build

VERSION := $(shell sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)

CFLAGS  ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDFLAGS ?= -Wl,-z,relro -Wl,-z,now

WARNINGS := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes
ALL_CPPFLAGS = -D_GNU_SOURCE -DMPECHO_VERSION='"$(VERSION)"' -iquote src $(CPPFLAGS)
ALL_CFLAGS   = -std=gnu17 $(WARNINGS) $(SYSTEMD_CFLAGS) $(CFLAGS)
ALL_LDLIBS   = $(SYSTEMD_LIBS) $(LDLIBS)

# Looked up when a recipe needs them, so that `make deps` can install what answers.
SYSTEMD_CFLAGS = $(shell pkg-config --cflags libsystemd)
SYSTEMD_LIBS   = $(shell pkg-config --libs libsystemd)
CMOCKA_LIBS    = $(shell pkg-config --libs cmocka)

ARCHIVE  := $(BUILD)/libmpecho.a
SOURCES  := $(wildcard src/*.c)
HEADERS  := $(wildcard src/*.h)
UNIT     := $(wildcard tests/unit/test_*.c)
HELPERS  := $(filter-out $(UNIT),$(wildcard tests/unit/*.c))

objects     = $(patsubst %.c,$(BUILD)/%.o,$(1))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT))

ifeq ($(V),1)
quiet =
else
quiet = @printf '  %-7s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)';
endif

all: $(ARCHIVE)

$(ARCHIVE): $(call objects,$(SOURCES))
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(UNIT_TESTS): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(HELPERS)) $(ARCHIVE)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LDLIBS)

# Rewritten only when it differs, so that other flags mean a new build and the same flags none.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS))' > $@

-include $(patsubst %.o,%.d,$(call objects,$(SOURCES) $(UNIT) $(HELPERS)))

# `make deps check` builds nothing before the packages are there, with -j as well.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(BUILD)/flags: deps
endif

## all: build libmpecho.a under build/ (the default)

## deps: install the Debian packages that the other targets named beside it need (as root)
deps:
	@packaging/deps $(MAKECMDGOALS)

## check: run all tests
check: check-unit

## check-unit: run the unit tests
check-unit: $(UNIT_TESTS)
	@for test in $(sort $(UNIT_TESTS)); do "$$test" || exit 1; done

## check-sanitize: run the unit tests built with the address and undefined-behaviour sanitizers
check-sanitize:
	@$(MAKE) BUILD=$(BUILD)/sanitize LDFLAGS= \
		CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all' \
		check-unit

## check-valgrind: run the unit tests under valgrind
check-valgrind: $(UNIT_TESTS)
	@for test in $(sort $(UNIT_TESTS)); do \
		valgrind --quiet --error-exitcode=99 --leak-check=full --child-silent-after-fork=yes "$$test" || exit 1; \
	done

## lint: clang-format, clang-tidy, cppcheck and shellcheck
lint:
	@packaging/lint

## format: rewrite the C sources as .clang-format says
format:
	@clang-format -i $(SOURCES) $(HEADERS) $(UNIT) $(HELPERS) $(wildcard tests/unit/*.h)

## clean: remove everything that was built
clean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  %-18s %s\n", $$1, $$2 }'

.PHONY: all check check-unit check-sanitize check-valgrind deps lint format clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
