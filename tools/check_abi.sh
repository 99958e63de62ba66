#!/usr/bin/env bash
# Compares the binary interface of libfastnet, built here for the baseline of the processor, with csrc/libfastnet.abi, by abidiff
# (Debian: abigail-tools). With --write the description is written anew, for a change that is meant: what is only added raises
# VERSION of the target "shared" in CMakeLists.txt, everything else SOVERSION too.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The operations, losses and so on are no part of it: they are called by their names.
cmake -S . -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DFASTNET_ISAS=baseline -DFASTNET_ONLY="dense;mean_squared_error;sgd" \
    -DFASTNET_OPTIMIZATION=-O0 >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/build" --target shared >"$work/log" || { tail -50 "$work/log"; exit 1; }
# The headers as they are installed: types of other files are private.
mkdir -p "$work/include/fastnet"
cp csrc/fastnet.h "$work/include"
cp csrc/fastnet/model.h "$work/build/generated/fastnet/isas.h" "$work/include/fastnet"
abidw --headers-dir "$work/include" --drop-private-types --exported-interfaces-only --no-corpus-path --no-comp-dir-path \
    --no-show-locs --no-architecture --out-file "$work/libfastnet.abi" "$work/build/libfastnet.so.1"
sed -i "s|path='[^']*/csrc/|path='csrc/|; s|filepath='[^']*/csrc/|filepath='csrc/|" "$work/libfastnet.abi" # whoever builds it, wherever
if [ "${1:-}" = --write ]; then
    cp "$work/libfastnet.abi" csrc/libfastnet.abi
elif abidiff csrc/libfastnet.abi "$work/libfastnet.abi"; then
    echo "the binary interface is that of csrc/libfastnet.abi"
else
    echo "the binary interface of libfastnet differs from csrc/libfastnet.abi; if that is meant: $0 --write"
    exit 1
fi
