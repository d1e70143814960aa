"""Reads JSON and .npz files with any content, and writes files completely or not at all."""

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "FileContentError",
    "check_arrays",
    "describe_array",
    "flush",
    "json_value",
    "one_line",
    "parse_json",
    "read_npz",
    "write_file",
    "write_npz",
]

_MAX_DEPTH = 32  # of nested JSON values
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SCALARS = (str, int, float, type(None))


class FileContentError(ValueError):
    """A file with other content than expected; one line, to which the caller adds the path."""


def one_line(text: object) -> str:
    """Returns a text, or the message of an error, on one line of at most 200 characters."""
    line = " ".join(str(text).split())
    return (line if len(line) <= 200 else f"{line[:197]}...") or repr(text)


def parse_json(content: bytes, expected: str) -> dict[str, Any]:
    """Returns the JSON object in a file, which may start with a byte order mark."""
    try:
        value = json.loads(content.decode("utf-8-sig"))
        level = [value]
        for _ in range(_MAX_DEPTH):
            lists = [v.values() if isinstance(v, dict) else v for v in level]
            level = [v for values in lists if not isinstance(values, _SCALARS) for v in values]
        if level:
            raise RecursionError(f"values nested deeper than {_MAX_DEPTH}")
    except (RecursionError, ValueError) as error:
        raise FileContentError(f"expected {expected}, got: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise FileContentError(f"expected {expected}, got a {type(value).__name__}")
    return value


def json_value(value: Any) -> Any:
    """Returns the value as JSON stores it: null for NaN and infinity, lists for tuples."""
    if isinstance(value, dict):
        return {key: json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_npz(path: Path, expected: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Reads a .npz file, after comparing its headers with the expected arrays or shapes."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            found: dict[str, str] = {}
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name in found or info.compress_type not in _COMPRESSIONS:
                    raise ValueError(f"{name} twice, or compressed with another method than zlib")
                with archive.open(info) as member:
                    np.lib.format.read_magic(member)
                    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                    size = info.file_size - member.tell()
                found[name] = describe_array(shape, dtype)
                if size != math.prod(shape) * dtype.itemsize:
                    raise ValueError(f"{size} bytes of {name}: {found[name]}")
            check_arrays(expected, found)
            file.seek(0)
            return dict(np.load(file, allow_pickle=False))
    except FileContentError:
        raise
    except Exception as error:
        raise FileContentError(f"expected arrays in a .npz file, got: {one_line(error)}") from None


def check_arrays(expected: Mapping[str, Any], found: Mapping[str, str]) -> None:
    """Compares arrays, or shapes, with the descriptions of those in a file."""
    wanted = {name: describe_array(leaf.shape, leaf.dtype) for name, leaf in expected.items()}
    for name in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(name, "none"), found.get(name, "none")
        if one != other:
            raise FileContentError(f"{' '.join(name.split())}: expected {one}, got {other}")


def describe_array(shape: Sequence[int], dtype: Any) -> str:
    """Returns the dtype and shape as JAX writes them, such as "float32[9,8]"."""
    return f"{np.dtype(dtype)}[{','.join(map(str, shape))}]"


def write_file(path: Path, content: str | bytes) -> None:
    """Writes the file completely, or leaves the previous one unchanged.

    A device or a pipe, such as /dev/stdout, is written in place.

    Raises:
      OSError: the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file, got a directory")
    if str(path) == "/dev/stdout":  # opened again, it would overwrite what is printed to a file
        print(data.decode(), end="", flush=True)
        return
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = Path(os.path.realpath(path))  # a link stays a link
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    flush(temporary)
    os.replace(temporary, path)


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays to a compressed .npz file, as `write_file` does."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_file(path, buffer.getvalue())


def flush(path: Path) -> None:
    """Waits until the contents of the file are on the disk."""
    with path.open("rb") as file:
        os.fsync(file)
