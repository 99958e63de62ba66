# Sourced by the scripts of this folder. run_pinned PACKAGE==VERSION...: installs these in a temporary folder and runs the Python
# program on standard input with them.
set -euo pipefail

run_pinned() {
    local folder
    folder=$(mktemp -d)
    trap 'rm -rf "'"$folder"'"' EXIT
    cat >"$folder/program.py"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    (cd "$folder" && "$folder/venv/bin/python" program.py)
}
