"""Budgets and a baseline held against a finished scan, or against the scores of new images: pass or fail, for CI.

subject   what is looked at: a report, its summary, where its data lie
check     subject + budgets + baseline -> Outcome: which budgets hold, which samples break them
outcome   which budgets held and what a person should look at, as data
baseline  what a team has accepted for now, as a file to commit
text, json, github, gitlab, sarif, junit, markdown
          Outcome -> text; each format a file of its own that touches no disk
gate      all of it as people call it
"""

from typing import Literal

Format = Literal["text", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown"]
