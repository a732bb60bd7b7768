# Part of the Makefile: what users pay, measured (docs/benchmarks.md).
#
#   make bench          set up the machine, build everything, run every scenario with this client and the published SDK
#   make bench-quick    the same with little work and one round: to see that it runs
#   make guard          instructions and allocations per operation against benchmarks/guard/budget.json
#   make guard-update   writes that file anew

BENCH := $(BUILD)/bench
BENCH_JSON ?= $(BENCH)/scorecard.json
BENCH_ARGS ?= --rounds 5 --scaling

.PHONY: bench bench-quick bench-programs bench-clients setup-bench
bench: setup-bench bench-programs bench-clients
	$(BENCH)/ours/bin/python benchmarks/scorecard.py --ours $(BENCH)/ours/bin/python \
		--published $(BENCH)/published/bin/python --pyqwest $(BENCH)/pyqwest/bin/python --server $(BENCH)/server --floor $(BENCH)/floor_client \
		--spawn $(BENCH)/spawn --json $(BENCH_JSON) $(BENCH_ARGS)
	$(BENCH)/ours/bin/python benchmarks/plot.py $(BENCH_JSON) $(BENCH)

bench-quick:
	+@$(MAKE) bench BENCH_ARGS='--rounds 1 --scale 0.02' BENCH_JSON=$(BENCH)/quick.json

setup-bench:
	@tools/setup_debian.sh build bench

bench-programs: $(BENCH)/server $(BENCH)/floor_client $(BENCH)/spawn $(BENCH)/bench_spawn

$(BENCH)/server: $(wildcard benchmarks/server/*.go) benchmarks/server/go.mod benchmarks/server/go.sum
	@mkdir -p $(@D)
	benchmarks/build_server.sh $(BENCH)

$(BENCH)/%: benchmarks/c/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE -O2 $(warnings) $(CFLAGS) -o $@ $< $(shell pkg-config --cflags --libs libnghttp2)

$(BENCH)/bench_spawn: benchmarks/c/bench_spawn.c $(OUT)/libtested.a
	@mkdir -p $(@D)
	$(CC) $(cflags) $(daemon_include) $(ldflags) -o $@ $^ $(package_libs)

# Each client in an environment of its own: two are called cwsandbox.
bench-clients: $(BENCH)/ours/bin/python $(BENCH)/published/bin/python $(BENCH)/pyqwest/bin/python
	$(BENCH)/ours/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps .
	$(BENCH)/published/bin/python -m pip install --quiet --disable-pip-version-check --upgrade cwsandbox
	$(BENCH)/pyqwest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pyqwest

$(BENCH)/ours/bin/python $(BENCH)/published/bin/python $(BENCH)/pyqwest/bin/python:
	@mkdir -p $(BENCH)
	tools/make_venv.sh $(patsubst %/bin/python,%,$@)

# ---- costs against their budget ----------------------------------------------------------------------------------

# Debian's Python, whose numbers the budget has; the package is that of the virtual environment.
GUARD_PYTHON ?= /usr/bin/python3
GUARD_ARGS ?=

.PHONY: guard guard-update
guard: install $(BENCH)/guard_mark.so
	$(VENV)/bin/python benchmarks/guard/guard.py --python $(GUARD_PYTHON) --mark $(BENCH)/guard_mark.so \
		--path $(wildcard $(VENV)/lib/python3*/site-packages) $(GUARD_ARGS)

guard-update:
	+@$(MAKE) guard GUARD_ARGS=--update

$(BENCH)/guard_mark.so: benchmarks/guard/mark.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -O1 $(warnings) -o $@ $<
