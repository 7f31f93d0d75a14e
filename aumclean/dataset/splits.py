"""The words that people use for the parts of a data set: train, Training, " val"."""

import re

WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst"),
}
TRAIN = "train"
VAL = "val"
TEST = "test"
_SET = re.compile(r"[ _-]?(set|data|images|\d+)$")
_KNOWN = {word: split for split, words in WORDS.items() for word in words}


def split_of(word: str) -> str | None:
    """Which part a word stands for, in any case and with blanks around it; None when it is no such word.

    As the folders of many downloads are called, it may end in set, data, images or a number, `training_set`, or begin
    with `split=`.
    """
    plain = word.strip().casefold().removeprefix("split=")
    return _KNOWN.get(plain) or _KNOWN.get(_SET.sub("", plain))


def same_split(word: str, other: str) -> bool:
    """Whether two words stand for the same part; words that nobody knows do when they are alike."""
    split = split_of(word)
    alike = word.strip().casefold() == other.strip().casefold()
    return alike if split is None else split_of(other) == split
