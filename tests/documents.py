"""Documents of JSON or YAML with one value changed, to ask what is made of them."""


def places(value, above=()):
    """Where every value of a document is, at any depth."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*above, key))


def changed(value, where, to):
    """The document with another value at one place."""
    if not where:
        return to
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[where[0]] = changed(copied[where[0]], where[1:], to)
    return copied
