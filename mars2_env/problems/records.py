"""Records of data files, read as if an enemy had written them: every size is bounded, and nothing in them is run.

A file of records is one of lines of JSON (`.jsonl`), one JSON array (`.json`) or a Parquet table (`.parquet`, which
needs the extra `datasets`), the first two compressed with gzip or not; a folder is all such files in it, by name. What
a file is, is seen by its first bytes: names lie.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from reprlib import Repr
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from mars2_env.base.integers import from_digits
from mars2_env.errors import ConfigError, ProblemError

MAX_RECORD_BYTES: Final = 256 * 2**20
"""The largest line of a file of lines."""

MAX_FILE_BYTES: Final = 2 * 2**30
"""The largest file that has to be in memory as a whole: a JSON array, or an archive, after decompression."""

MAX_INFLATION: Final = 100
"""How many times its own size a compressed file may hold; one of less than 256 MiB in all is never refused."""

_SMALL: Final = 256 * 2**20
_CHUNK: Final = 2**20
_SUFFIXES: Final = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark with which some programs begin every UTF-8 text."""

_MOST_DIGITS: Final = 200_000

_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80

Row = TypeVar("Row", bound=msgspec.Struct)


class Place:
    """A record of a file, for messages: a line of it (from 1), or what `unit` says."""

    def __init__(self, path: str, line: int, unit: str = "line") -> None:
        self.path = path
        self.line = line
        self.unit = unit

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.line}"

    def fail(self, field: str, message: str) -> NoReturn:
        """Raise the `ProblemError` that names this place and a field."""
        raise ProblemError(f"{self}, field {field!r}: {message}")


def short(value: Any) -> str:
    """Return a value as text of at most 80 characters, for messages; however large it is, in no time."""
    text = _SHORT.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def read_lines(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the JSON objects of a file of lines, each with its place. `NaN` and `Infinity` are refused.

    Raises:
        ConfigError: there is no such file.
        ProblemError: a line is not a JSON object, or the file is not what it seems.
    """
    with _opened(path) as file:
        for number, line in _lines(path, file):
            yield _object(Place(path, number), line, _strict)


def read_rows(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the records of a file, or of all files of a folder, each with its place; `NaN` and `Infinity` are numbers.

    Raises:
        ConfigError: there is no such file, or the folder has none.
        ProblemError: a record is not an object, or a file is not what it seems.
    """
    for file in data_files(path):
        yield from _rows(file)


def data_files(path: str) -> list[str]:
    """Return the file, or the data files of the folder in the order of their names.

    Raises:
        ConfigError: the folder has none.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [path]
    found = sorted(str(file) for file in folder.iterdir() if file.is_file() and file.name.endswith(_SUFFIXES))
    if not found:
        raise ConfigError(f"the folder {path} has no file that ends in {', '.join(_SUFFIXES)}.")
    return found


def _rows(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    with _opened(path) as file:
        head = _head(path, file)
        if head.startswith(_PARQUET):
            yield from _parquet_rows(path)
            return
        if not head.startswith(b"["):
            for number, line in _lines(path, file):
                yield _object(Place(path, number), line, loads)
            return
        data = _whole(path, file)
    try:
        records = loads(data)
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{path}: not JSON ({error}).") from error
    del data
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise ProblemError(f"{path}, record {number}: a JSON {type(record).__name__}, not an object.")
        yield Place(path, number, "record"), record


def read_whole(path: str) -> bytes:
    """Return the contents of a file, decompressed if it is gzip.

    Raises:
        ConfigError: there is no such file.
        ProblemError: it is too large, or holds too much for its size.
    """
    with _opened(path) as file:
        return _whole(path, file)


def _opened(path: str) -> BufferedReader | _Inflated:
    try:
        plain = open(path, "rb")  # noqa: SIM115  (closed by the caller)
        start = plain.peek(2)[:2]
    except OSError as error:
        raise ConfigError(f"cannot read the problem file {path}: {error.strerror}.") from error
    if start == _GZIP:
        return _Inflated(path, plain)
    if path.endswith(".gz"):
        plain.close()
        raise ProblemError(f"{path}: not a gzip file.")
    return plain


class _Inflated(gzip.GzipFile):
    """A gzip file that refuses to hold far more than its size."""

    def __init__(self, path: str, file: BufferedReader) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._path = path
        self._plain = file
        self._most = max(_SMALL, MAX_INFLATION * Path(path).stat().st_size)

    def close(self) -> None:
        super().close()
        self._plain.close()

    def check(self, size: int) -> None:
        if size > self._most:
            raise ProblemError(
                f"{self._path}: holds more than {MAX_INFLATION} times its own size. If that is as it should be, "
                "decompress it and give the plain file."
            )


def _head(path: str, file: BufferedReader | _Inflated) -> bytes:
    try:
        return file.peek(64)[:64].removeprefix(_MARK).lstrip()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ProblemError(f"{path}: not a gzip file ({error}).") from error


def _piece(path: str, file: BufferedReader | _Inflated, size: int, line: bool) -> bytes:
    try:
        return file.readline(size) if line else file.read(size)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ProblemError(f"{path}: not a gzip file ({error}).") from error


def _lines(path: str, file: BufferedReader | _Inflated) -> Iterator[tuple[int, bytes]]:
    number = read = 0
    while piece := _piece(path, file, MAX_RECORD_BYTES + 1, line=True):
        number += 1
        read += len(piece)
        if isinstance(file, _Inflated):
            file.check(read)
        if len(piece) > MAX_RECORD_BYTES:
            raise ProblemError(f"{path}, line {number}: longer than {MAX_RECORD_BYTES} bytes, the most that is read.")
        line = piece.removeprefix(_MARK)  # files that were put together may have one in the middle
        if line.strip():
            yield number, line


def _whole(path: str, file: BufferedReader | _Inflated) -> bytes:
    pieces, read = [], 0
    while piece := _piece(path, file, _CHUNK, line=False):
        read += len(piece)
        if isinstance(file, _Inflated):
            file.check(read)
        if read > MAX_FILE_BYTES:
            raise ProblemError(
                f"{path}: more than {MAX_FILE_BYTES} bytes, the most that is read at once. "
                "Write it as lines of JSON (.jsonl), which are read one by one."
            )
        pieces.append(piece)
    return b"".join(pieces).removeprefix(_MARK)


def _object(place: Place, line: bytes, decode: Any) -> tuple[Place, dict[str, Any]]:
    try:
        record = decode(line)
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{place}: not a JSON object ({error}).") from error
    if not isinstance(record, dict):
        raise ProblemError(f"{place}: a JSON {type(record).__name__}, not an object.")
    return place, record


def _strict(data: bytes) -> Any:
    return json.loads(data.decode("utf-8"), parse_constant=_constant, parse_float=_finite, parse_int=_integer)


def loads(data: bytes | str) -> Any:
    """Decode JSON as Python's own module does: with nan, infinities and lone surrogates, which msgspec refuses.

    Raises:
        ValueError: it is not JSON, or holds an integer of more than 200,000 digits.
        RecursionError: it is nested too deeply.
    """
    data = data.removeprefix(_MARK) if isinstance(data, bytes) else data.removeprefix("\ufeff")
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return json.loads(data, parse_int=_integer)


def from_json_text(place: Place, field: str, text: str) -> Any:
    """Return the JSON that a field holds as text.

    Raises:
        ProblemError: it is not JSON.
    """
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        place.fail(field, f"not JSON ({error}): {short(text)}.")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits; at most {_MOST_DIGITS} are read")
    return from_digits(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f'{text} is not JSON; write {{"n": "nan"}}, {{"n": "inf"}} or {{"n": "-inf"}}')


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is beyond every float")
    return value


def _parquet_rows(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ConfigError(
            f"{path} is a Parquet table: `pip install 'mars2-env[datasets]'` to read it, or give lines of JSON."
        ) from None
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=64):
                for record in batch.to_pylist():
                    yield Place(path, number, "row"), record
                    number += 1
    except (ArrowException, OSError) as error:
        raise ProblemError(f"{path}, row {number}: not a Parquet table ({error}).") from error


_WHERE: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")


def as_row(place: Place, record: dict[str, Any], kind: type[Row]) -> Row:
    """Return a record as a `kind`; fields that `kind` does not know are passed over.

    Raises:
        ProblemError: a field is missing or of the wrong type; names it and its value.
    """
    try:
        return msgspec.convert(record, kind)
    except RecursionError:
        raise ProblemError(f"{place}: nested too deeply.") from None
    except UnicodeEncodeError as error:
        raise ProblemError(f"{place}: a lone surrogate in the wrong place: {short(error.object)}.") from None
    except msgspec.ValidationError as error:
        text = str(error)
        found = _WHERE.search(text)
        field = found["path"].lstrip(".") if found else ""
        message = text[: found.start()] if found else text
        if missing := re.fullmatch(r"Object missing required field `(.*)`", message):
            field = f"{field}.{missing[1]}".lstrip(".")
            place.fail(field, "is missing.")
        place.fail(field, f"{message}: {short(_at(record, field))}.")


def _at(value: Any, path: str) -> Any:
    """Return what stands at a path such as `public_tests.input[3]`; keys that msgspec writes as [...] stop the walk."""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        try:
            value = value[name] if name else value[int(index)]
        except (LookupError, TypeError):
            return value
    return value
