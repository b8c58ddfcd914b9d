#!/bin/sh
# Finds a Python that can make the environment and hands over to make_env.py. It runs with nothing but a POSIX
# shell, because the Python it looks for may be missing or too old to read anything newer.
# PYTHON=/path/to/python3.12 names the interpreter to use.
set -u
here=$(dirname "$0")
least=3.11
found=
unusable=

# The environment's own Python, where it works, knows the one that it was made from.
for python in ${PYTHON:-"$here/../.venv/bin/python" python3.13 python3.12 python3.11 python3 python}; do
    # Running it, rather than looking it up, passes over wrappers whose interpreter is not installed.
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        found="$found $python is $version;"
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        unusable="$unusable $python ($version)"
    else
        exec "$python" -I "$here/make_env.py" "$@"
    fi
done

{
    if [ -n "$unusable" ]; then
        echo "error: the modules venv and ensurepip are missing from$unusable."
        echo "Install them (on Debian and Ubuntu: the package python3-venv, or python3.X-venv for that version),"
        echo "or name another Python: make env PYTHON=/path/to/python3"
    elif [ -n "$found" ]; then
        echo "error: Python $least or newer is needed; found:${found%;}."
        echo "Install a newer Python beside it, or name one: make env PYTHON=/path/to/python3"
    elif [ -n "${PYTHON:-}" ]; then
        echo "error: PYTHON is $PYTHON, which does not run; it must name Python $least or newer."
    else
        echo "error: no Python found on PATH; Python $least or newer is needed."
        echo "Install one, or name it: make env PYTHON=/path/to/python3"
    fi
} >&2
exit 1
