"""Reads a list of records that torch saved, without unpickling: only opcodes that make plain data are carried out.

A pickle is a program. This reads its instructions with `pickletools`, which runs none, and carries out those for
numbers, text, lists, tuples and dictionaries; at the first that would name or call anything it stops. Both forms of
`torch.save` are read: a zip archive with `data.pkl`, and the older row of pickles.
"""

import io
import pickletools
import zipfile
from pathlib import Path
from typing import Any

from components.base.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
MOST = 1 << 30  # bytes of a file
MEND = "make metadata.json of it where you trust its source: a list of {image, attr, obj, set}"
_MARK = object()


class _Refused(Exception):
    """An instruction that plain data do not need."""


def read_list(path: Path) -> list[Any]:
    """The list in a file of `torch.save`; raises UserError for anything else, naming what the file asks for."""
    try:
        if path.stat().st_size > MOST:
            raise UserError("larger than 1 GB", where=str(path), mend=MEND)
        found = _zipped(path) if zipfile.is_zipfile(path) else _row(path)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path), mend="check the path") from error
    except _Refused as reason:
        raise UserError(f"is not plain data: {reason}; nothing of it was run", where=str(path), mend=MEND) from None
    except (ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile, RuntimeError, EOFError,
            StopIteration) as error:
        raise UserError(f"is no file of torch ({error})", where=str(path), mend=MEND) from error
    if not isinstance(found, list):
        raise UserError(f"holds a {type(found).__name__}, not a list", where=str(path), mend=MEND)
    return found


def _zipped(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        inside = [i for i in archive.infolist() if i.filename.endswith("/data.pkl") or i.filename == "data.pkl"]
        if len(inside) != 1 or inside[0].file_size > MOST:
            raise ValueError("no data.pkl of at most 1 GB in it")
        return _read(io.BytesIO(archive.read(inside[0])))


def _row(path: Path) -> Any:
    stream = io.BytesIO(path.read_bytes())  # not the file: an instruction may ask for more bytes than memory has
    if _read(stream) != MAGIC:
        raise ValueError("another beginning")
    _read(stream), _read(stream)  # the version of the format; about the machine that wrote it
    return _read(stream)


def _read(stream: io.BytesIO) -> Any:
    """The value of the next pickle in a stream."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for code, argument, _ in pickletools.genops(stream):
        name = code.name
        if name == "STOP":
            return stack.pop()
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(argument)
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in _GATHER:
            _GATHER[name](stack)
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"it asks for {name} {argument if argument is not None else ''}".strip())
    raise EOFError("it ends early")


def _since_mark(stack: list[Any]) -> list[Any]:
    at = len(stack) - 1 - next(i for i, item in enumerate(reversed(stack)) if item is _MARK)
    items = stack[at + 1:]
    del stack[at:]
    return items


def _appends(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _of(stack[-1], list).extend(items)


def _append(stack: list[Any]) -> None:
    item = stack.pop()
    _of(stack[-1], list).append(item)


def _set_items(stack: list[Any]) -> None:
    items = _since_mark(stack)
    _of(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))


def _set_item(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    _of(stack[-1], dict)[key] = value


def _tuple(size: int | None) -> Any:
    def gather(stack: list[Any]) -> None:
        items = _since_mark(stack) if size is None else [stack.pop() for _ in range(size)][::-1]
        stack.append(tuple(items))
    return gather


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"expected a {kind.__name__}, got a {type(value).__name__}")
    return value


def _marked(make: Any) -> Any:
    def gather(stack: list[Any]) -> None:
        items = _since_mark(stack)
        stack.append(make(items))
    return gather


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE",
                     "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"))
_NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_GATHER = {"APPENDS": _appends, "APPEND": _append, "SETITEMS": _set_items, "SETITEM": _set_item, "TUPLE": _tuple(None),
           "TUPLE1": _tuple(1), "TUPLE2": _tuple(2), "TUPLE3": _tuple(3), "LIST": _marked(list),
           "DICT": _marked(lambda items: dict(zip(items[::2], items[1::2], strict=True)))}
