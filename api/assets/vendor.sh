#!/usr/bin/env bash
# Re-creates the vendored files of each folder here from npm, or checks them. The table in a folder's VENDORED.md says what they are.
#
#   vendor.sh           fetch every package of the tables, check each file's SHA-256, then replace the files; build bundles
#   vendor.sh --check   check the files against the tables; needs no network
#
# To take a new version: change it in the table, run, and put in the checksums that it prints. A folder's bundle/ is built
# by its build.mjs from the packages of its package-lock.json; bundle/SHA256SUMS has the sums of what is built. To take a
# new version of these: change package.json, run `npm install --package-lock-only --ignore-scripts` in bundle/, then this
# with --accept, which writes the sums.
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
  [[ ! -d bundle ]] || sha256sum --check --strict bundle/SHA256SUMS
  # A vendored file that is in no list is one that nobody can verify.
  for file in *.min.* *.LICENSE.txt; do
    grep -qF "| \`$file\` |" VENDORED.md || grep -qsF "  $file" bundle/SHA256SUMS ||
      { echo "vendor.sh: $file is neither in VENDORED.md nor in bundle/SHA256SUMS" >&2; return 1; }
  done
}

# Builds the bundle of the folder that we are in, by way of the empty directory $1; with --accept as $2 whatever comes out.
build_here() {
  local work=$1 accept=$2
  cp -R bundle "$work/bundle"
  rm -rf "$work/bundle/node_modules"
  (cd "$work/bundle" && npm ci --silent --ignore-scripts && node build.mjs "$work/built")
  if [[ $accept == --accept ]]; then
    (cd "$work/built" && sha256sum -- *) >bundle/SHA256SUMS
  elif ! (cd "$work/built" && sha256sum --check --strict "$OLDPWD/bundle/SHA256SUMS"); then
    echo "vendor.sh: the bundle differs; nothing of it was replaced here" >&2
    return 1
  fi
  cp "$work/built"/* .
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
'' | --accept)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for folder in "$here"/*/; do
    cd "$folder"
    mkdir "$work/${folder//\//_}"
    fetch_here "$work/${folder//\//_}"
    [[ ! -d bundle ]] || build_here "$work/${folder//\//_}" "${1-}"
  done
  ;;
*)
  sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
