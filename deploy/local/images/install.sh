#!/bin/sh
# Makes a virtual environment with one package of the workspace, those of ours that it needs, and what uv.lock pins for
# it, each file checked against the lock's hash. It needs Python 3.11 alone: uv is fetched by its pinned hash, and builds
# our own packages itself.
# Usage, in the repository's root: install.sh PACKAGE "FOLDER..." TARGET [--no-emit-package NAME]...
set -eu
package=$1 folders=$2 target=$3
shift 3

# The host's settings for package indexes, proxies and certificates come as a secret, so that no image holds them.
if [ -s /run/secrets/build-env ]; then
    set -a
    . /run/secrets/build-env
    set +a
fi
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_PROGRESS=1
uv=$(python3 deploy/local/bootstrap_uv.py)
requirements=$(mktemp)
"$uv" export --quiet --frozen --no-dev --no-emit-workspace --package "$package" "$@" --output-file "$requirements"
"$uv" venv --quiet --python "$(command -v python3)" "$target"
"$uv" pip install --python "$target/bin/python" --no-deps --require-hashes --only-binary :all: -r "$requirements"
for folder in $folders; do
    "$uv" pip install --python "$target/bin/python" --no-deps --offline "./$folder"
done

# uv notes when it installed our package, which would make every image another one.
cd "$target"/lib/python3.*/site-packages
rm -f ./*.dist-info/uv_cache.json
sed -i '/\/uv_cache\.json,/d' ./*.dist-info/RECORD
