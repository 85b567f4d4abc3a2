#!/bin/sh
# Installs the project into a virtual environment: sh tools/setup.sh <folder> <extras>
# May be run again; what is there already stays. $PYTHON, if set, is the only Python that is tried.
set -eu
venv=$1
extras=$2

stop() {
    echo "$1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

make_venv() {
    fitting=
    for python in ${PYTHON:-python3 python3.12 python3.11 python3.10 python3.9 python3.8}; do
        fits "$python" || continue
        fitting=${fitting:-$python}
        "$python" -c 'import venv, ensurepip' 2>/dev/null || continue
        echo "making $venv with $("$python" --version)"
        "$python" -m venv --clear "$venv"
        return
    done
    test -n "$fitting" || stop "no Python 3.8 to 3.12 found (tried ${PYTHON:-python3 and python3.12 to python3.8}): install one, or name it with make PYTHON=..."
    stop "$fitting cannot make virtual environments: sudo apt-get install $(basename "$fitting")-venv"
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# A folder without a working pip is what an interrupted run left behind.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
fits "$venv/bin/python" || stop "$venv has $("$venv/bin/python" --version), but 3.8 to 3.12 is needed: remove it and run make again"

echo "installing .[$extras] into $venv"
pip_install 'pip>=21.3' # older ones cannot install in place without a setup.py
pip_install --editable ".[$extras]"

# MXNet's library needs some of the system's; better said here than by a traceback later.
"$venv/bin/python" -c '
import sys
from ademxapp import backend
try:
    backend.load()
except backend.BackendError as error:
    sys.exit(str(error))
'

if test "$extras" = cpu && ! "$venv/bin/python" -c 'import pydensecrf.densecrf' 2>/dev/null; then
    echo "building the CRF (about a minute)"
    pip_install --editable '.[crf]' >"$venv/crf.log" 2>&1 ||
        echo "going on without the CRF ($venv/crf.log); to have it: sudo apt-get install g++ python3-dev && $venv/bin/python -m pip install -e '.[crf]'"
fi
