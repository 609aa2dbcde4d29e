#!/usr/bin/env bash
# Re-creates the vendored files of each folder here from npm, or checks them. The table in a folder's VENDORED.md says what they are.
#
#   vendor.sh           fetch every package of the tables, check each file's SHA-256, then replace the files
#   vendor.sh --check   check the files against the tables; needs no network
#
# To take a new version: change it in the table, run, and put in the checksums that it prints.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

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

# Checks the files of the folder that we are in.
check_here() {
  check .
  # A vendored file that the table does not list is one that nobody can verify.
  for file in *.min.* *.LICENSE.txt; do
    grep -qF "| \`$file\` |" VENDORED.md || { echo "vendor.sh: $file is not in VENDORED.md" >&2; return 1; }
  done
}

# Fetches the files of the folder that we are in, by way of the empty directory $1.
fetch_here() {
  local work=$1
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
    echo "vendor.sh: nothing was replaced here; the sums above are those of the fetched files" >&2
    return 1
  fi
  cp "$work/out"/* .
}

case "${1-}" in
--check)
  for folder in "$here"/*/; do
    cd "$folder"
    check_here
  done
  ;;
'')
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for folder in "$here"/*/; do
    cd "$folder"
    mkdir "$work/${folder//\//_}"
    fetch_here "$work/${folder//\//_}"
  done
  ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
