# Every C file, flag and library is named here once; setup.py calls `make ext daemon`.
#
#   make demo      set up the machine, build, run the quick start on the embedded daemon
#   make test      set up the machine, build, run every check
#   make pictures  draw docs/demo.svg and docs/cli.svg from what programs really print; needs tmux
#   make lib       the core as a static library (no Python header on the include path)
#   make ext       the extension module          make daemon    cwsandboxd and what it runs
#   make test-c    C tests and fuzz corpora, ASan + UBSan         make tsan      C tests, TSan
#   make test-py   Python tests on the installed package, which is built first; PYTHON=python3.13: on that interpreter
#   make test-py-interpreters   the tests of the C types on each other interpreter that is found
#   make test-frameworks   the adapters for other frameworks, each with its framework from the registry
#   make chaos     commands through failing connections for CHAOS_SECONDS (default 600)
#   make test-py-asan   those of the C types and of the wire with everything of ours under ASan + UBSan
#   make fuzz      fuzz each target for FUZZ_SECONDS (default 30)     make h2spec    the daemon against h2spec
#   make docs      the documentation site, in build/docs/html; a warning or a link that leads nowhere fails it
#   make lint      layers, sizes, documents, generated code, C format, ruff, mypy, stubtest
#   make tidy      clang-tidy                    make format    clang-format, ruff format
#   make proto     write the generated C from proto/
#   make wheels    the source distribution and the wheels into dist/, each proved in a bare root (docs/packaging.md)
#   make bench     measure against the published SDK (benchmarks/bench.mk)      make guard     costs against their budget
#
# Objects of each kind of build lie in build/<flavour>: release, asan, tsan, fuzz.

BUILD ?= build
FLAVOUR ?= release
PYTHON ?= python3
# An environment for each interpreter that is asked for by name.
VENV ?= $(if $(filter command,$(firstword $(origin PYTHON))),$(BUILD)/venv/$(notdir $(PYTHON)),.venv)
FUZZ_SECONDS ?= 30
OUT := $(BUILD)/$(FLAVOUR)
# V=1 shows the commands.
Q := $(if $(V),,@)
say = @echo "$(1)$(if $(filter release,$(FLAVOUR)),, $(FLAVOUR))  $(patsubst $(BUILD)/%,%,$(2))"

# ---- sources -------------------------------------------------------------------------------------------------

core_dirs := base io h2 grpc proto sandbox archive
core_src := $(foreach dir,$(core_dirs) proto/generated,$(wildcard src/_cwsandbox/$(dir)/*.c))
py_src := $(wildcard src/_cwsandbox/py/*.c)
daemon_src := $(wildcard src/cwsandboxd/*.c src/cwsandboxd/*/*.c)
init_src := $(wildcard src/cwsandbox-init/*.c)
archive_src := $(wildcard src/cwsandbox-archive/*.c)
egress_src := $(wildcard src/cwsandbox-egress/*.c)
# The daemon is the core without its client side.
daemon_core_src := $(filter-out src/_cwsandbox/sandbox/% src/_cwsandbox/archive/%,$(core_src))
# What the C tests and fuzz targets link: everything that has no main().
tested_src := $(core_src) $(filter-out src/cwsandboxd/main.c,$(daemon_src)) \
	$(filter-out src/cwsandbox-egress/main.c,$(egress_src)) src/cwsandbox-archive/filter.c
test_src := $(wildcard tests/c/*/test_*.c tests/c/daemon/*/test_*.c)
# TSan's own thread keeps a child from making namespaces. Of the daemon, only logs have several threads.
tsan_src := $(filter-out tests/c/daemon/% tests/c/init/%,$(test_src))
tsan_src += tests/c/daemon/store/test_ring_threads.c tests/c/daemon/sandboxes/test_log.c
tsan_programs := $(tsan_src:tests/c/%.c=%)
test_programs = $(if $(filter tsan,$(FLAVOUR)),$(tsan_programs),$(test_src:tests/c/%.c=%))
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)

objects = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

# ---- flags ---------------------------------------------------------------------------------------------------

PKG_CONFIG ?= pkg-config
packages := libnghttp2 openssl libprotobuf-c libuv
package_libs := $(shell $(PKG_CONFIG) --libs $(packages) 2>/dev/null)
# What the daemon uses and the extension does not.
daemon_packages := jansson sqlite3 yaml-0.1
package_cflags := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(packages) $(daemon_packages) libarchive \
	2>/dev/null))
daemon_libs := $(shell $(PKG_CONFIG) --libs $(daemon_packages) 2>/dev/null)
# It reads what hostile sandboxes made, so it is a program of its own. So is the way out by name.
archive_libs := $(shell $(PKG_CONFIG) --libs libarchive libcrypto 2>/dev/null)
egress_libs := $(shell $(PKG_CONFIG) --libs libuv 2>/dev/null) -lresolv

# setup.py turns this off: a newer compiler's new warning must not keep anyone from installing.
WERROR ?= -Werror
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings $(WERROR)
base_cflags := -std=gnu11 -fPIC -fvisibility=hidden -pthread -D_GNU_SOURCE -I src/_cwsandbox \
	$(warnings) $(package_cflags)
# From GCC 15 on the initializers that protoc-c writes leave the rest of a union as it was, and protobuf-c then frees what
# it finds there.
zero_unions := -fzero-init-padding-bits=unions
base_cflags += $(shell $(CC) $(zero_unions) -E -x c /dev/null >/dev/null 2>&1 && echo $(zero_unions))
base_ldflags := -pthread -Wl,-z,relro,-z,now

cflags_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
cflags_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-sanitize=object-size -DCWS_CHECKED=1
cflags_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DCWS_CHECKED=1
cflags_fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
ldflags_asan := -fsanitize=address,undefined
ldflags_tsan := -fsanitize=thread
ldflags_fuzz := -fsanitize=fuzzer,address,undefined

cflags := $(base_cflags) $(cflags_$(FLAVOUR)) $(CFLAGS)
ldflags := $(base_ldflags) $(ldflags_$(FLAVOUR)) $(LDFLAGS)

# Only where py/ is compiled: the core is built without Python's headers in reach.
PYTHON_INCLUDE ?= $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
python_limited = $(shell $(PYTHON) -c 'import sysconfig; \
	print("" if sysconfig.get_config_var("Py_GIL_DISABLED") else "-DPy_LIMITED_API=0x030b0000")')

# ---- products ------------------------------------------------------------------------------------------------

.PHONY: all lib ext daemon test-programs fuzz-programs
all: lib ext daemon
lib: $(OUT)/libcws.a
ext: $(OUT)/_cwsandbox.so
daemon: $(OUT)/bin/cwsandboxd $(OUT)/bin/cwsandbox-init $(OUT)/bin/cwsandbox-archive \
	$(OUT)/bin/cwsandbox-egress
test-programs: daemon $(test_programs:%=$(OUT)/tests/%)
fuzz-programs: $(fuzz_src:tests/fuzz/%.c=$(OUT)/fuzz/%)

$(OUT)/libcws.a: $(call objects,$(core_src))
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(OUT)/libtested.a: $(call objects,$(tested_src))
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

# Exports the function that Python looks up and nothing else, whatever the libraries would export when they are static.
ext_exports := src/_cwsandbox/py/exports.map
$(OUT)/_cwsandbox.so: $(call objects,$(core_src) $(py_src)) $(ext_exports)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(ldflags) -Wl,--version-script=$(ext_exports) -o $@ $(filter %.o,$^) $(package_libs)

$(OUT)/bin/cwsandboxd: $(call objects,$(daemon_core_src) $(daemon_src))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ldflags) -pie -o $@ $^ $(package_libs) $(daemon_libs)

$(OUT)/bin/cwsandbox-archive: $(call objects,$(archive_src))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ldflags) -pie -o $@ $^ $(archive_libs)

$(OUT)/bin/cwsandbox-egress: $(call objects,$(egress_src))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ldflags) -pie -o $@ $^ $(egress_libs)

# Static, without even libc: it is PID 1 inside sandboxes, where nothing of ours is. Its own flags: no sanitizer runs there.
init_cflags := -std=gnu11 -D_GNU_SOURCE -Os -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fomit-frame-pointer -fno-pie
# GCC sees memset() in loops of a freestanding program, too; clang does not, and does not know the flag.
no_patterns := -fno-tree-loop-distribute-patterns
init_cflags += $(shell $(CC) $(no_patterns) -E -x c /dev/null >/dev/null 2>&1 && echo $(no_patterns))
# Compiled and linked apart: with -nostdlib a compiler for another target has not even the kernel's headers.
$(OUT)/obj/src/cwsandbox-init/%.o: src/cwsandbox-init/%.c $(wildcard src/cwsandbox-init/*.h src/confine/*.h) Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(init_cflags) -iquote src $(warnings) -c -o $@ $<

$(OUT)/bin/cwsandbox-init: $(call objects,$(init_src))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(init_cflags) -static -nostdlib -no-pie -s -o $@ $^ -lgcc

$(OUT)/tests/%: $(OUT)/obj/tests/c/%.o $(OUT)/libtested.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ldflags) -o $@ $^ $(package_libs) $(daemon_libs) -lresolv -lcmocka -lm

# The init's functions as those of an ordinary program, with sanitizers. start.c is where the kernel enters it.
$(OUT)/obj/hosted/%.o: src/cwsandbox-init/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) -iquote src -MMD -MP -c -o $@ $<

$(OUT)/libinit.a: $(patsubst src/cwsandbox-init/%.c,$(OUT)/obj/hosted/%.o,$(filter-out %/start.c,$(init_src)))
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(filter $(OUT)/tests/init/%,$(test_src:tests/c/%.c=$(OUT)/tests/%)): $(OUT)/libinit.a

# With libFuzzer's main(), or else with one that replays the corpus.
egress_parsers := $(call objects,$(addprefix src/cwsandbox-egress/,hello.c names.c question.c))
$(OUT)/fuzz/fuzz_client_hello $(OUT)/fuzz/fuzz_dns_question: $(egress_parsers)
$(OUT)/fuzz/fuzz_yaml $(OUT)/fuzz/fuzz_http_head $(OUT)/fuzz/fuzz_ring $(OUT)/fuzz/fuzz_egress_rules: $(OUT)/libtested.a
fuzz_main := $(if $(filter fuzz,$(FLAVOUR)),,$(OUT)/obj/tests/fuzz/replay.o)
$(OUT)/fuzz/%: $(OUT)/obj/tests/fuzz/%.o $(fuzz_main) $(OUT)/libcws.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ldflags) -o $@ $^ $(package_libs) $(daemon_libs) -lresolv

# The flags are part of what an object depends on: changing them here builds anew.
$(OUT)/obj/src/_cwsandbox/py/%.o: src/_cwsandbox/py/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) $(python_limited) -isystem $(PYTHON_INCLUDE) -MMD -MP -c -o $@ $<

# "box/box.h" for what is the daemon's own, and "cwsandbox-init/protocol.h".
daemon_include := -iquote src/cwsandboxd -iquote src
version_file := python/cwsandbox/_version.py
version := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' $(version_file))
$(OUT)/obj/src/_cwsandbox/grpc/call.o: cflags += -DCWS_VERSION='"$(version)"'
$(OUT)/obj/src/_cwsandbox/grpc/call.o: $(version_file)
$(OUT)/obj/src/cwsandboxd/%.o: src/cwsandboxd/%.c Makefile $(version_file)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) $(daemon_include) -DCWSD_VERSION='"$(version)"' -MMD -MP -c -o $@ $<

# Not hidden: a test may stand in for a function of a library.
$(OUT)/obj/tests/%.o: tests/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) -fvisibility=default $(daemon_include) -iquote tests/c -MMD -MP -c -o $@ $<

$(OUT)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) -iquote src -MMD -MP -c -o $@ $<

.SECONDARY:
-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# ---- the machine and the virtual environment -----------------------------------------------------------------

.PHONY: setup-build setup-test venv
setup-build:
	@tools/setup_debian.sh build
setup-test:
	@tools/setup_debian.sh build test

venv: $(VENV)/bin/python
$(VENV)/bin/python:
	tools/make_venv.sh $(VENV) $(if $(filter $(BUILD)/venv/%,$(VENV)),$(PYTHON))

# Another environment, for what has the same name: the SDK that tests/interop runs against the daemon.
PUBLISHED := $(BUILD)/published
published_version = $(shell sed -n 's/^__version__ = "\([0-9.]*\)+.*/\1/p' $(version_file))
.PHONY: published
published: $(PUBLISHED)/bin/cwsandbox
$(PUBLISHED)/bin/cwsandbox: tools/install_published.sh
	tools/install_published.sh $(PUBLISHED) $(published_version)
	@if [ -e $@ ]; then touch $@; fi

.PHONY: install install-dev
# One at a time, also under -j: pip builds in the tree.
pip_install := flock $(CURDIR)/setup.py $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
install: venv
	$(pip_install) .
install-dev: venv
	WERROR=-Werror $(pip_install) '.[dev]'

# ---- what people run -----------------------------------------------------------------------------------------

.PHONY: demo test pictures
demo: setup-build install
	@echo
	@echo "\$$ CWSANDBOX_BASE_URL=local python examples/quickstart.py"
	@CWSANDBOX_BASE_URL=local $(VENV)/bin/python examples/quickstart.py

pictures: setup-build install
	CWSANDBOX_BASE_URL=local $(VENV)/bin/python examples/quickstart.py \
		| $(VENV)/bin/python tools/render_demo.py > $(BUILD)/demo.svg && mv $(BUILD)/demo.svg docs/demo.svg
	$(VENV)/bin/python tools/render_cli.py > $(BUILD)/cli.svg && mv $(BUILD)/cli.svg docs/cli.svg

test: setup-test
	+@MAKE='$(MAKE)' BUILD='$(BUILD)' tools/run_stages.sh install-dev lint site test-c tsan test-py test-py-interpreters \
		test-frameworks guard

# Into dist/: WHEELS="manylinux_2_28_x86_64 …" or all. As root, since each is proved in a bare root.
wheels_venv := $(BUILD)/wheels/venv
$(wheels_venv)/complete: tools/wheels/requirements.txt
	tools/make_venv.sh $(wheels_venv)
	$(wheels_venv)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
.PHONY: wheels
wheels: $(wheels_venv)/complete
	PYTHONPATH=tools BUILD='$(BUILD)' $(wheels_venv)/bin/python -m wheels $(WHEELS)

.PHONY: test-c tsan test-py test-py-asan fuzz lint tidy proto format clean
test-c:
	+@$(MAKE) --no-print-directory FLAVOUR=asan test-programs fuzz-programs
	@tools/run_c_tests.sh $(BUILD)/asan $(test_programs)

# Without address randomization where that can be had: with much of it older versions of TSan do not start.
without_aslr = $(shell setarch -R true 2>/dev/null && echo setarch -R)
tsan:
	+@$(MAKE) --no-print-directory FLAVOUR=tsan test-programs fuzz-programs
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tools/tsan.supp:halt_on_error=1:second_deadlock_stack=1" \
		$(without_aslr) tools/run_c_tests.sh $(BUILD)/tsan $(tsan_programs)

# From an empty folder: nothing but the installed package can be imported. tests/native counts what is left behind, so
# it has a process of its own. No test at all is fine (5) when some were asked for.
pytest = @mkdir -p $(BUILD)/empty
pytest += && cd $(BUILD)/empty && $(abspath $(VENV))/bin/python -m pytest -c $(CURDIR)/pyproject.toml
pytest += --rootdir $(CURDIR) -p no:cacheprovider $(1) $(PYTEST_ARGS) $(if $(PYTEST_ARGS),|| [ $$? = 5 ])
test-py: test-py-native test-py-rest
.PHONY: test-py-native test-py-rest test-py-interpreters
test-py-native test-py-rest: install-dev
test-py-rest: export PUBLISHED_PYTHON = $(abspath $(PUBLISHED))/bin/python
test-py-rest: published
test-py-native:
	$(call pytest,$(CURDIR)/tests/native)
test-py-rest:
	$(call pytest,--ignore=$(CURDIR)/tests/native --ignore=$(CURDIR)/tests/frameworks $(CURDIR)/tests)
test-py-interpreters:
	@BUILD='$(BUILD)' VENV='$(VENV)' tools/test_interpreters.sh

.PHONY: test-frameworks
test-frameworks: install-dev
	@BUILD='$(BUILD)' VENV='$(VENV)' tools/test_frameworks.sh

# Longer than as a part of test-py, and another storm each time; a failure names its seed.
.PHONY: chaos
chaos: export CHAOS_SECONDS ?= 600
chaos: export CHAOS_SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
chaos: install-dev
	$(call pytest,-s $(CURDIR)/tests/chaos)

# The extension and the daemon under ASan + UBSan, in front of the installed package.
asan_libraries = $(foreach name,libasan.so libubsan.so,$(shell $(CC) -print-file-name=$(name)))
test-py-asan:
	+@$(MAKE) --no-print-directory FLAVOUR=asan PYTHON=$(VENV)/bin/python ext daemon
	@rm -rf $(BUILD)/asan/site && mkdir -p $(BUILD)/asan/site $(BUILD)/empty
	@cp -r python/cwsandbox $(BUILD)/asan/site/ && cp -r $(BUILD)/asan/bin $(BUILD)/asan/site/cwsandbox/
	@cp $(BUILD)/asan/_cwsandbox.so $(BUILD)/asan/site/cwsandbox/_cwsandbox.abi3.so
	cd $(BUILD)/empty && PYTHONPATH=$(abspath $(BUILD)/asan/site) PYTHONMALLOC=malloc \
		LD_PRELOAD="$(asan_libraries)" ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1 \
		$(abspath $(VENV))/bin/python -m pytest -c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) \
		-p no:cacheprovider -q $(CURDIR)/tests/native $(CURDIR)/tests/conformance $(PYTEST_ARGS)

# Not among the tests: h2spec has to be on PATH (tools/run_h2spec.py says how it gets there).
.PHONY: h2spec
h2spec: daemon
	$(VENV)/bin/python tools/run_h2spec.py $(OUT)/bin/cwsandboxd

fuzz:
	+@$(MAKE) FLAVOUR=fuzz CC=clang fuzz-programs
	@tools/run_fuzz.sh $(BUILD)/fuzz/fuzz $(FUZZ_SECONDS)

lint: lint-own lint-proto lint-c-format lint-bench lint-ruff lint-types lint-stubs
.PHONY: lint-own lint-proto lint-c-format lint-bench lint-ruff lint-types lint-stubs
lint-own:
	$(VENV)/bin/python tools/check_layers.py
	$(VENV)/bin/python tools/check_sizes.py
	$(VENV)/bin/python tools/check_docs.py
lint-proto:
	tools/gen_proto.sh --check
# Every C file that is written by hand.
c_files = $(filter-out %.pb-c.c %.pb-c.h,$(shell find src tests benchmarks -name '*.[ch]'))
lint-c-format:
	@$(VENV)/bin/clang-format --dry-run --Werror $(c_files)
# Nothing else builds them but `make bench`, which is not run for each change.
lint-bench:
	@$(CC) $(cflags) $(daemon_include) -fsyntax-only $(wildcard benchmarks/c/*.c)
lint-ruff:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
lint-types:
	$(VENV)/bin/mypy python/cwsandbox tools $(wildcard tests/typing)
lint-stubs:
	@mkdir -p $(BUILD)/empty
	cd $(BUILD)/empty && $(abspath $(VENV))/bin/python -m mypy.stubtest cwsandbox._cwsandbox

.PHONY: docs site
docs: setup-build install-dev site
	@echo '$(BUILD)/docs/html/index.html'
# Of the package as it is installed.
site: venv
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@rm -rf $(BUILD)/docs
	$(VENV)/bin/python -m sphinx -W --keep-going -q -c docs -d $(BUILD)/docs/doctrees . $(BUILD)/docs/html
	@$(VENV)/bin/python -m sphinx -q -c docs -b text -d $(BUILD)/docs/doctrees . $(BUILD)/docs/text
	@$(VENV)/bin/python tools/make_llms.py $(BUILD)/docs/text $(BUILD)/docs/html
	@$(VENV)/bin/python tools/check_site.py $(BUILD)/docs/html

tidy:
	clang-tidy --quiet $(filter-out %.pb-c.c,$(core_src)) $(daemon_src) $(archive_src) $(egress_src) -- \
		-std=gnu11 -D_GNU_SOURCE -I src/_cwsandbox $(daemon_include) $(package_cflags)

proto:
	tools/gen_proto.sh

format:
	$(VENV)/bin/clang-format -i $(c_files)
	$(VENV)/bin/ruff format .

include benchmarks/bench.mk

clean:
	rm -rf $(BUILD) python/*.egg-info
