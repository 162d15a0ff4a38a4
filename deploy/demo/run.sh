#!/usr/bin/env bash
# The demo: an average chart and an average image go in, a hardened package comes out. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."

demo="${DEMO:-$PWD/.quench/demo}"
image="${DEMO_IMAGE:-$HOME/.cache/quench/demo/nginx}"
target="${TARGET:-$PWD/target}"
package="${demo}/demo.quench.tar"
report="${demo}/report.html"
# A package has the name of its chart.
name=demo-web

say() {
    if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
        printf '\n\033[1m%s\033[0m\n' "$*"
    else
        printf '\n%s\n' "$*"
    fi
}

say "1/4 building quench"
"${CARGO:-cargo}" build --release --locked --package quench-cli
quench="${target}/release/quench"

say "2/4 putting the image together from Debian packages"
"${PYTHON:-python3}" deploy/demo/build-image.py deploy/demo/images/nginx.toml -o "${image}" >/dev/null

say "3/4 quench harden"
mkdir -p "${demo}"
"${quench}" harden deploy/demo/chart \
    --images-from "oci:${image}" \
    --advisories deploy/demo/advisories \
    --store "${demo}/store" \
    -o "${package}"

say "4/4 the report"
"${quench}" report "${name}" --store "${demo}/store" -o "${report}"

cat <<EOF

package  ${package}
report   ${report}
store    ${demo}/store

Look around:
  ${quench} show ${name} --store ${demo}/store
  ${quench} findings ${name} --store ${demo}/store
  ${quench} chart ${name} --store ${demo}/store -o ${demo}/chart
  ${QUENCH_TOOLS:-\$HOME/.cache/quench/tools}/bin/helm template demo ${demo}/chart
EOF
