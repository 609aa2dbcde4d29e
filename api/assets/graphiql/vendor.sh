#!/usr/bin/env bash
# Re-creates the vendored files from npm, or checks them. The table in VENDORED.md says what they are.
#
#   vendor.sh           fetch every package of the table, check each file's SHA-256, then replace the files here
#   vendor.sh --check   check the files here against the table; needs no network
#
# To take a new version: change it in the table, run, and put in the checksums that it prints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Prints "package version path-in-package file sha256" for each row of the table.
rows() {
  awk -F ' *\\| *' '$6 ~ /^`[0-9a-f]+`$/ { gsub(/`/, ""); print $2, $3, $4, $5, $6 }' VENDORED.md
}

# Checks the files of the table in directory $1, and says which differ.
check() {
  local rows
  rows=$(rows)
  [[ -n $rows ]] || { echo "vendor.sh: no rows found in VENDORED.md" >&2; return 1; }
  (cd "$1" && awk '{ print $5 "  " $4 }' <<<"$rows" | sha256sum --check --strict)
}

case "${1-}" in
--check)
  check .
  # A vendored file that the table does not list is one that nobody can verify.
  for file in *.min.* *.LICENSE.txt; do
    grep -qF "| \`$file\` |" VENDORED.md || { echo "vendor.sh: $file is not in VENDORED.md" >&2; exit 1; }
  done
  ;;
'')
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/out"
  while read -r package version path file _; do
    if [[ ! -d $work/$package ]]; then
      mkdir "$work/$package"
      tarball=$(cd "$work" && npm pack --silent "$package@$version")
      tar -xzf "$work/$tarball" -C "$work/$package" --strip-components=1 --no-same-owner
    fi
    install -m 644 "$work/$package/$path" "$work/out/$file"
  done < <(rows)
  if ! check "$work/out"; then
    (cd "$work/out" && sha256sum -- *) >&2
    echo "vendor.sh: nothing was replaced; the sums above are those of the fetched files" >&2
    exit 1
  fi
  cp "$work/out"/* .
  ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]##*/}" >&2
  exit 2
  ;;
esac
