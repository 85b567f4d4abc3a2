#!/bin/sh
# Installs the project into a virtual environment: sh tools/setup.sh <folder> <extras>
# May be run again; what is there already stays. $PYTHON, if set, is the only Python that is tried. The first of the
# extras, cpu or torch, is the engine's; $TORCH, if set, is what pip installs of PyTorch.
set -eu
venv=$1
extras=$2
case $extras in
torch*) engine=torch least=9 most=14 ;;
*) engine=mxnet least=8 most=12 ;;
esac

stop() {
    echo "$1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, '$least') <= sys.version_info[:2] <= (3, '$most'))' 2>/dev/null
}

make_venv() {
    fitting=
    for python in ${PYTHON:-python3 $(seq -f python3.%g "$most" -1 "$least")}; do
        fits "$python" || continue
        fitting=${fitting:-$python}
        "$python" -c 'import venv, ensurepip' 2>/dev/null || continue
        echo "making $venv with $("$python" --version)"
        "$python" -m venv --clear "$venv"
        return
    done
    test -n "$fitting" || stop "no Python 3.$least to 3.$most found (tried ${PYTHON:-python3 and python3.$most to python3.$least}): install one, or name it with make PYTHON=..."
    stop "$fitting cannot make virtual environments: sudo apt-get install $(basename "$fitting")-venv"
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# A folder without a working pip is what an interrupted run left behind.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
fits "$venv/bin/python" || stop "$venv has $("$venv/bin/python" --version), but 3.$least to 3.$most is needed: remove it and run make again"

echo "installing .[$extras] into $venv"
pip_install 'pip>=21.3' # older ones cannot install in place without a setup.py
test -z "${TORCH:-}" || pip_install "$TORCH"
pip_install --editable ".[$extras]"

# MXNet's library needs some of the system's; better said here than by a traceback later.
"$venv/bin/python" -c '
import sys
from ademxapp.engine import load
try:
    load(sys.argv[1])
except ImportError as error:
    sys.exit(str(error))
' $engine

if test "$extras" = cpu -o "$extras" = torch && ! "$venv/bin/python" -c 'import pydensecrf.densecrf' 2>/dev/null; then
    echo "building the CRF (about a minute)"
    pip_install --editable '.[crf]' >"$venv/crf.log" 2>&1 ||
        echo "going on without the CRF ($venv/crf.log); to have it: sudo apt-get install g++ python3-dev && $venv/bin/python -m pip install -e '.[crf]'"
fi
