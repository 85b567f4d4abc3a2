#!/bin/sh
# Installs the wheel into an empty environment of each Python in turn, and tries it there: sh tools/pythons.sh
# Pythons are looked for on the PATH and among pyenv's; PYTHONS="3.8 3.12" names some of them. With FULL=1 all of the
# fast tests are run, not a few. Everything lies in build/pythons; environments that failed stay there.
# Behind 3.12 there is no MXNet: TORCH=torch names the PyTorch to try, which may be of several GB; without it all is
# tried that needs no engine.
set -eu
project=$(cd "$(dirname "$0")/.." && pwd)
work=$project/build/pythons
versions=${PYTHONS:-3.8 3.9 3.10 3.11 3.12 3.13 3.14}
packages="ademxapp iclass issegm tools"
# Every network's parameters; the original's numbers; a training and a test by either driver; weights there and back.
few="tests/symbol/test_zoo.py::test_parameters_are_the_stored tests/symbol/test_symbol.py::test_forward_numbers_are_the_originals
    tests/drivers/test_drivers.py::test_training_leaves_checkpoint_log_reports_curves_and_snapshot
    tests/weights/test_weights.py::test_params_are_written_as_mxnet_writes_them
    tests/weights/test_weights.py::test_round_trips_are_exact_for_the_released_networks[voc_rna-a1-w0.02_cls21_s8-2conv-.npz]
    tests/test_install.py::test_every_command_is_a_program"
# Those that need no engine.
fewer="tests/test_install.py::test_every_command_is_a_program tests/data/test_lists.py tests/test_machine.py"
# Of what is MXNet's or PyTorch's only where it is there.
import_all="
import importlib, pathlib, sys, sysconfig
site = pathlib.Path(sysconfig.get_path('purelib'))
for path in sorted(file for package in ('ademxapp', 'iclass', 'issegm') for file in (site / package).rglob('*.py')):
    name = '.'.join(path.relative_to(site).with_suffix('').parts).replace('.__init__', '')
    if not name.startswith(('ademxapp.engine.', 'ademxapp.deploy.torch_', 'ademxapp.deploy.onnx_graph', 'ademxapp.programs.benchmarks')):
        importlib.import_module(name)
print(len(sys.modules), 'modules')
"

# An interpreter of a version such as 3.8 that can make environments.
find_python() {
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        "$python" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null ||
            continue
        command -v "$python"
        return
    done
    return 1
}

# The wheel, built of a copy: what earlier builds left in the project does not get in.
build_wheel() {
    mkdir -p "$work/source"
    for name in $packages README.md setup.cfg setup.py pyproject.toml MANIFEST.in; do
        cp -r "$project/$name" "$work/source"
    done
    mkdir "$work/source/models" # of which people may have more, and larger ones
    cp "$project"/models/README.md "$project"/models/imagenette128_* "$project"/models/camvid_* "$work/source/models"
    find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
    "$1" -m venv "$work/builder"
    "$work/builder/bin/python" -m pip wheel --no-deps --wheel-dir "$work" "$work/source"
}

# The tests beside links to what is installed, so that they and the scripts that they start see no other packages.
lay_out_tests() {
    mkdir -p "$1"
    for name in tests docs recipes README.md Makefile setup.cfg pyproject.toml MANIFEST.in; do
        cp -r "$project/$name" "$1"
    done
    ln -s "$project/data" "$1/data"
    for name in ademxapp iclass issegm; do
        ln -s "$2/$name" "$1/$name"
    done
    ln -s "$2/ademxapp/programs" "$1/tools" # as which the wheel has it
    ln -s "$2/ademxapp/models" "$1/models"
}

# Each step ends the function where it fails; what it was called stays in the file `step`.
try() {
    folder=$work/$1 run=$work/$1/venv/bin/python
    mkdir -p "$folder/empty"
    echo "making an environment" >"$folder/step"
    "$2" -m venv "$folder/venv" || return
    echo "installing the wheel" >"$folder/step"
    case $3 in torch*) "$run" -m pip install --quiet --no-compile "$TORCH" || return ;; esac
    "$run" -m pip install --quiet --no-compile "$(echo "$work"/ademxapp-*.whl)[$3]" || return
    site=$("$run" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cd "$folder/empty"
    for command in "$folder"/venv/bin/ademxapp-*; do
        echo "${command##*/} --help" >"$folder/step"
        "$command" --help || return
    done
    echo "importing all modules" >"$folder/step"
    "$run" -c "$import_all" || return
    echo "laying out the tests" >"$folder/step"
    lay_out_tests "$folder/tests" "$site" || return
    "$run" -c 'import matplotlib.font_manager' || return # the first time it lists the fonts, which it says if it is slow
    cd "$folder/tests"
    echo "the tests" >"$folder/step"
    if test -n "${FULL:-}" && test "$4" != "$fewer"; then
        "$run" -m pytest -q -ra -m "not slow"
    else
        "$run" -m pytest -q -ra -m "not slow" --timeout 1200 --durations=5 $4
    fi
}

tell() {
    printf '%-6s %-44s %s\n' "$@" | tee -a "$work/table"
}

rm -rf "$work"
mkdir -p "$work"
passed=0 failed=0
for version in $versions; do
    python=$(find_python "$version") || { tell "$version" - "not found"; continue; }
    log=$work/$version.log
    if ! ls "$work"/ademxapp-*.whl >/dev/null 2>&1; then
        echo "building the wheel with $python"
        build_wheel "$python" >"$work/wheel.log" 2>&1 || { cat "$work/wheel.log" >&2; exit 1; }
    fi
    echo "trying $python ($log)"
    case $version in
    3.8 | 3.9 | 3.10 | 3.11 | 3.12) extras=cpu,test tests=$few ;;
    *) extras=$(test -z "${TORCH:-}" || echo torch,)test tests=$(test -n "${TORCH:-}" && echo "$few" || echo "$fewer") ;;
    esac
    if (try "$version" "$python" "$extras" "$tests") >"$log" 2>&1; then
        commands=$(find "$work/$version/venv/bin" -name 'ademxapp-*' | wc -l)
        tell "$version" "$python" "passed with [$extras]: $commands commands, $(tail -n 1 "$log")"
        passed=$((passed + 1))
        rm -rf "${work:?}/$version"
    else
        tell "$version" "$python" "FAILED with [$extras]: $(cat "$work/$version/step"): $(tail -n 1 "$log") ($log)"
        failed=$((failed + 1))
    fi
done
printf '\n%-6s %-44s %s\n' Python interpreter result
cat "$work/table"
test "$failed" = 0 || exit 1
test "$passed" != 0 || { echo "none of Python 3.8 to 3.14 was found on the PATH or among pyenv's" >&2; exit 1; }
