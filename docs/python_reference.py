"""The page of the Python interface, made from the docstrings of what `import aumclean` gives."""

import inspect
import re
import typing
from collections.abc import Iterator

import aumclean
from aumclean.config.scan import ScanConfig

FUNCTIONS = ("scan", "open_run", "score", "judge", "aum", "threshold")
CLASSES = ("Recorder", "Run", "Scores")
HEAD = """# Python

```python
import aumclean
```

What is described here is public; the modules of the package may change. Functions print nothing: messages go to the
logger `aumclean`, which `logging.basicConfig(level=logging.INFO)` shows. A terminal and a notebook show a progress bar.
A script needs no `if __name__ == "__main__"`.
"""


def page() -> str:
    """The page in Markdown."""
    parts = [HEAD]
    for name in FUNCTIONS:
        parts += _described(f"aumclean.{name}", getattr(aumclean, name), "##")
        if name == "scan":
            options = ", ".join(f"`{option}`" for option in ScanConfig.model_fields)
            parts.append(
                f"All options, which the [command line](cli.md) and the [configuration](configuration.md) "
                f"explain: {options}.\n"
            )
    for name in CLASSES:
        kind = getattr(aumclean, name)
        parts.append(f"## aumclean.{name}\n\n{_markdown(inspect.getdoc(kind) or '')}\n")
        for member, value in vars(kind).items():
            if not member.startswith("_") and isinstance(value, property):
                parts.append(f"### {name}.{member}\n\n{_markdown(inspect.getdoc(value) or '')}\n")
            elif not member.startswith("_") and inspect.isfunction(value):
                parts += _described(f"{name}.{member}", value, "###")
    parts.append("## Errors\n\n" + "\n".join(_errors()) + "\n")
    return "\n".join(parts)


def _described(name: str, function: object, heading: str) -> Iterator[str]:
    signature = re.sub(r"\bself, ", "", _signature(function))
    yield f"{heading} {name}\n\n```python\n{name}{signature}\n```\n\n{_markdown(inspect.getdoc(function) or '')}\n"


def _signature(function: object) -> str:
    """Names and defaults; the types stand in the descriptions."""
    signature = inspect.signature(typing.cast(typing.Callable[..., object], function))
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)).replace("'", '"')


def _markdown(docstring: str) -> str:
    """Sections of a docstring as bold words, their entries as list items."""
    lines, section = [], ""
    for line in docstring.splitlines():
        if found := re.fullmatch(r"(Args|Returns|Raises|Attributes|Example):", line):
            section = found[1]
            lines += [f"**{section}**", ""]
        elif not section or not line.strip():
            lines.append(line)
        elif section == "Example":
            lines.append(line.removeprefix("    "))
        else:
            entry = (
                re.match(r"    (\*{0,2}\w[\w, ]*): (.*)", line) if section in {"Args", "Raises", "Attributes"} else None
            )
            lines.append(f"- `{entry[1]}`: {entry[2]}" if entry else re.sub("^    (  )?  |^    ", r"\1", line))
    return "\n".join(lines).strip()


def _errors() -> Iterator[str]:
    yield "Every error that is raised on purpose is an `aumclean.AumcleanError`; its message says what to do.\n"
    for name in aumclean.__all__:
        if name.endswith("Error") and name != "AumcleanError":
            yield f"- `aumclean.{name}`: {inspect.getdoc(getattr(aumclean, name))}"
