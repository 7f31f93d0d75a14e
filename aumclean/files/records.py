"""Records: what aumclean writes for programs, as types; what is read is checked against them, and bounded."""

import json
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from aumclean.errors import RunError

MOST = 10**15  # of anything that is counted
Count = Annotated[int, Field(ge=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


def _utf8(text: str) -> str:
    """Refuse text that no file of UTF-8 and no Arrow table can hold: a lone surrogate, which JSON can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not text that UTF-8 can hold") from None
    return text


Text = Annotated[str, AfterValidator(_utf8)]


class Record(BaseModel):
    """A record, or a part of one; keys that a later aumclean added within a schema version are kept, and not read."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Record)


def read_record(file: Path, kind: type[Kind], *, remedy: str = "repeat what made it") -> Kind:
    """Read a JSON file that aumclean wrote.

    Raises:
        FileNotFoundError: when there is none.
        NotADirectoryError: when a file stands where its folder should.
        RunError: when it is something else, damaged, or of a later schema version.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file}: cannot be read ({' '.join(str(error).split())[:200]})") from None
    if "schema_version" in kind.model_fields:
        _require_version(file, found, kind.model_fields["schema_version"].default)
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise RunError(f"{file}: is damaged ({problem(error)}); {remedy}") from None


def _require_version(file: Path, found: object, known: int) -> None:
    version = found.get("schema_version") if isinstance(found, dict) else None
    if not isinstance(version, int):
        raise RunError(f"{file}: was not written by aumclean (it has no schema_version)")
    if version > known:
        raise RunError(
            f"{file}: was written with schema version {version}, this aumclean reads up to {known}; upgrade aumclean"
        )


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, in words: `data.class_names: field required`."""
    first = error.errors()[0]
    where, what = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    return f"{where}: {what[:1].lower()}{what[1:]}"[:200]
