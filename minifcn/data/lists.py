"""The parts that published data sets have in common: a folder, a list of names in it, and files that the names mean."""

from pathlib import Path


def find_folder(kind: str, root: str | Path, candidates: tuple[str, ...], mark: str) -> Path:
    """The first of `root`/candidate that holds `mark`. Raises ValueError, saying where it was looked for."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ValueError(f"{kind}: expected a folder at {root}, got none. Check the path behind '{kind}:'.")
    for candidate in candidates:
        if (root / candidate / mark).exists():
            return root / candidate
    places = " or ".join(str(root / candidate / mark) for candidate in candidates)
    raise ValueError(f"{kind}: expected {places}, got no such file or folder. "
                     f"Unpack the data set as it was published, and name its folder.")


def read_names(kind: str, list_file: Path, advice: str = "") -> list[str]:
    """The names in a list, one a line, with or without a last newline.

    Raises ValueError for a list that is missing (saying which there are), empty, or holds anything else.
    """
    if not list_file.is_file():
        found = ", ".join(sorted(path.name for path in list_file.parent.glob("*.txt"))) or "no .txt file"
        raise ValueError(f"{kind}: expected a list of samples in {list_file}, got {found} in that folder. "
                         f"{advice or 'Choose one of these splits (--split; to train --splits TRAIN VAL).'}")
    names = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if len(words) > 1:
            raise ValueError(f"{kind}: expected one name in line {number} of {list_file}, got {line!r}. "
                             f"The list holds names without folder and ending, nothing else.")
        names += words
    if not names:
        raise ValueError(f"{kind}: expected at least one sample in {list_file}, got an empty list. "
                         f"Fetch the list anew.")
    return names


def check_files(kind: str, list_file: Path, files: list[Path]) -> None:
    """All files are there. Raises ValueError with the first that is not, and how many more."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{kind}: expected {missing[0]}, which {list_file} lists, got no such file "
                         f"({len(missing)} of {len(files)} files are missing). "
                         f"Copy the missing files there; test images have no published labels.")
