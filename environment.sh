#!/bin/sh
# Makes .venv hold the pinned packages: `./environment.sh runtime` or `./environment.sh test`.
#
# It is built aside and renamed when it is whole, so that what was there survives Ctrl-C. What it holds is
# known by content (Python, place, lists of pins): no date counts, and a checkout that moved gets a new one.
set -eu

case ${1-} in
runtime) lists=requirements.txt ;;
test) lists="requirements.txt requirements-test.txt requirements-oracles.txt" ;;
*) echo "usage: environment.sh runtime|test" >&2 && exit 2 ;;
esac

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null
}

python=
for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if fits "$candidate"; then python=$candidate && break; fi
done
if [ -z "$python" ]; then
    echo "${PYTHON:-python3}: no Python from 3.11 to 3.13 with its venv module; install one" \
        "(Debian: python3 and python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2
    exit 2
fi

place="$("$python" -V) in $(pwd -P)"
holds=$({ echo "$place" && cat $lists; } | cksum)
[ "$(cat ".venv/.$1" 2> /dev/null)" != "$holds" ] || exit 0

aside=.venv.new
trap 'rm -rf "$aside"' EXIT
trap 'exit 130' INT TERM
rm -rf "$aside"
if [ "$(cat .venv/.place 2> /dev/null)" = "$place" ]; then
    mkdir "$aside" && cp -a .venv/. "$aside" # what it holds already need not be installed again
else
    "$python" -m venv "$aside"
    echo "$place" > "$aside/.place"
fi
pip="$aside/bin/python -m pip install --quiet --no-compile --disable-pip-version-check"
if [ "$1" = test ]; then
    $pip -r requirements.txt -r requirements-test.txt
    $pip --no-deps -r requirements-oracles.txt
else
    $pip -r requirements.txt
fi
echo "$holds" > "$aside/.$1"

# Programs name the Python that they run with by its path.
for file in "$aside"/bin/* "$aside"/pyvenv.cfg; do
    if [ -f "$file" ] && [ ! -L "$file" ] && grep -Iq "$(pwd -P)/$aside" "$file"; then
        sed "s|$(pwd -P)/$aside|$(pwd -P)/.venv|g" "$file" > "$file.new"
        cat "$file.new" > "$file" && rm "$file.new"
    fi
done
rm -rf .venv.old
if [ -e .venv ]; then mv .venv .venv.old; fi
mv "$aside" .venv
rm -rf .venv.old
