# What a page's commands run with. Everything in which a test differs from a reader's machine is here:
#
# * `analytics` is built already, and a build, an installation of packages and the tests are not repeated.
# * A server runs in the background, as in a terminal of its own, and its address is known when it listens.
# * A command that goes on until Ctrl-C ends after the lines that the page shows (`LINES_SHOWN`).
# * There is no tick of the refresh's schedule between two commands, a server has heard of a refresh before the next
#   command asks it, and the address is the test's own.
set -euo pipefail
export ANALYTICS_LISTEN="$ADDRESS:8000" ANALYTICS_REFRESH_CRON='0 0 0 1 1 *' ANALYTICS_LOG=warn
running=()
trap 'kill "${running[@]}" 2>/dev/null || true; wait' EXIT

serve() {
  exec {output}< <(exec "$@")
  running+=($!)
  local line
  while read -r line <&"$output"; do
    [[ $line != *http://* ]] || return 0
  done
  echo "ended before it listened: $*" >&2
  return 1
}

# Prints the last refresh that the server has heard of, when it has ended; waits until it is another one than $1.
next_refresh() {
  local heard
  for ((SECONDS = 0; SECONDS < 60;)); do
    heard=$(command curl -sG "http://$ADDRESS:8000/graphql" -d 'query={freshness{status,refreshId}}')
    [[ $heard != *FRESH* || $heard == "$1" ]] || { printf '%s\n' "$heard"; return; }
  done
  echo "the server has heard of no refresh: $heard" >&2
  return 1
}

analytics() {
  local program last
  program=$(type -P analytics)
  case ${1-serve} in
    serve | demo) serve "$program" "$@" ;;
    import)
      # Goes on until it is ended.
      [[ " $* " != *' --follow '* ]] || { "$program" "$@" & running+=($!); return; }
      "$program" "$@"
      ;;
    refresh)
      [[ ${#running[@]} == 0 ]] || last=$(next_refresh '')
      "$program" "$@"
      [[ ${#running[@]} == 0 ]] || next_refresh "$last" > /dev/null
      ;;
    *) "$program" "$@" ;;
  esac
}

cargo() {
  [[ $* == 'run --release' ]] || { echo "unknown: cargo $*" >&2; return 1; }
  serve target/release/analytics
}

curl() {
  [[ $1 == -*N* ]] || { command curl "$@"; return; }
  exec {output}< <(exec curl "$@")
  running+=($!)
  local line
  for ((; LINES_SHOWN > 0; LINES_SHOWN--)); do
    read -r line <&"$output"
    printf '%s\n' "$line"
  done
}
