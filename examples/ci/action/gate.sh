#!/usr/bin/env bash
# What the action does: install if asked, score what is new if asked, hold the budgets. Exit codes: 0 passed, 1 failed,
# 2 could not run.
#
# Reads INPUT_* (see action.yml). Writes to the files that GITHUB_OUTPUT and GITHUB_STEP_SUMMARY name: the gate itself
# appends its counts and its page there.
#
# A build log is obeyed: GitHub takes "::command::" and "##[command]" in it for orders. Names of files and classes come
# from the pull request, so everything but the gate's own annotations is printed while orders are off.
set -euo pipefail
exec 2>&1 # one stream: words on another could overtake the line that turns orders off

token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
ignore() {
  trap obey EXIT
  echo "::stop-commands::$token"
}
obey() {
  trap - EXIT
  echo "::$token::"
}

refuse() {
  echo "::error title=aumclean gate::$1"
  exit 2
}

for name in run data baseline max-new max-flagged max-class-flagged install report; do
  variable=INPUT_${name^^}
  variable=${variable//-/_}
  [[ ${!variable-} != *[$'\n\r']* ]] || refuse "input '$name' must be one line"
  printf -v "$variable" %s "${!variable-}"
done
[[ -n $INPUT_RUN ]] || refuse "input 'run' is missing: give the run directory of a finished scan"

cd "${GITHUB_WORKSPACE:-.}"
[[ -f $INPUT_RUN/run.json ]] || refuse "input 'run' names no run directory with a run.json; was it fetched before this step?"

ignore

pip() { python -m pip install --quiet --no-compile "$@" || exit 2; }
if [[ -n $INPUT_INSTALL && -n $INPUT_DATA ]]; then
  pip -- "$INPUT_INSTALL" # with PyTorch, which looks through the new images
elif [[ -n $INPUT_INSTALL ]]; then
  pip --no-deps -- "$INPUT_INSTALL"
  pip --requirement "$GITHUB_ACTION_PATH/../gate-requirements.txt"
fi
if ! command -v aumclean >/dev/null; then
  obey
  refuse "aumclean is not installed: give input 'install', or install it in an earlier step"
fi

report=${INPUT_REPORT:-aumclean-gate}
mkdir -p -- "$report" || exit 2
report=$(cd -- "$report" && pwd)
output=${GITHUB_OUTPUT:-/dev/null}
echo "report=$report" >>"$output"

temporary=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/aumclean-XXXXXX")

subject=$INPUT_RUN
if [[ -n $INPUT_DATA ]]; then
  subject=$temporary/scores
  aumclean score --out="$subject" -- "$INPUT_RUN" "$INPUT_DATA" || exit 2
  cp "$subject/report.csv" "$report/scores.csv"
fi

options=()
[[ -z $INPUT_BASELINE ]] || options+=("--baseline=$INPUT_BASELINE")
[[ -z $INPUT_MAX_NEW ]] || options+=("--max-new=$INPUT_MAX_NEW")
[[ -z $INPUT_MAX_FLAGGED ]] || options+=("--max-flagged=$INPUT_MAX_FLAGGED")
[[ -z $INPUT_MAX_CLASS_FLAGGED ]] || options+=("--max-class-flagged=$INPUT_MAX_CLASS_FLAGGED")
while IFS= read -r argument; do
  [[ -z $argument ]] || options+=("$argument")
done <<<"${INPUT_ARGS-}"

code=0
aumclean gate --quiet "${options[@]}" \
  --report="github=$temporary/annotations" \
  --report="json=$report/gate.json" \
  --report="sarif=$report/labels.sarif" \
  --report="junit=$report/junit.xml" \
  --report="markdown=$report/comment.md" \
  --contact-sheet="$report/worst.png" \
  -- "$subject" || code=$?
[[ $code == 0 || $code == 1 ]] || exit 2
echo "sarif=$report/labels.sarif" >>"$output"

obey
grep '^::' "$temporary/annotations" || true # the rest of it has been said above
exit "$code"
