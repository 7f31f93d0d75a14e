#!/usr/bin/env bash
# Put a page on a pull request as a comment; when it has one that begins with the same line, replace that one.
#
# Reads GH_TOKEN, GITHUB_REPOSITORY, PULL_REQUEST (its number) and PAGE (a file). Needs `gh`, which GitHub's runners have.
set -euo pipefail

marker=$(head -n 1 "$PAGE")
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
# only a comment that the workflow itself made: anyone can write the marker
mine='.[] | select(.user.login == "github-actions[bot]" and (.body | startswith(env.MARKER))) | .id'
id=$(MARKER=$marker gh api --paginate "$comments" --jq "$mine" | head -n 1)
if [[ -n $id ]]; then
  gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$PAGE"
else
  gh api --silent --method POST "$comments" --field "body=@$PAGE"
fi
