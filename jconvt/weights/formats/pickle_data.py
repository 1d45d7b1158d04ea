"""Pickles as data: dictionaries, lists, numbers and text. Nothing is imported or called.

A pickle is a program for a stack machine, whose instructions import and call functions. ``load`` runs the program with
a description in the place of each function and of each result.
"""

import dataclasses
import pickletools
from typing import Any

from .untrusted import CorruptError

_DICTIONARIES = ("collections.OrderedDict", "collections.defaultdict")
PERSISTENT = "persistent id"  # the name of a reference to something outside the pickle
_LONGEST = 500  # characters of the name of a function; a pickle can make many long ones of one text


@dataclasses.dataclass(eq=False)
class Call:
    """A call that a pickle asks for, of the function or class ``name``. It is not made."""

    name: str
    arguments: Any = None


@dataclasses.dataclass(eq=False)
class Name:
    """A function, a class or another object that a pickle refers to. It is not imported."""

    name: str


def load(file: Any, references: list[Any] | None = None) -> Any:
    """Return the data of the next pickle in a binary file. Of dictionaries, only keys that are text are kept.

    ``references`` gets the references to something outside the pickle.

    Raises:
      CorruptError: the pickle asks for something that no program needs to save data.
      Exception: the file is not a pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def popped() -> list[Any]:
        """Remove the values after the last mark."""
        start = marks.pop()
        values = stack[start:]
        del stack[start:]
        return values

    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                marks.append(len(stack))
            case "POP":
                stack.pop()
            case "POP_MARK":
                popped()
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "LIST" | "FROZENSET":
                stack.append(popped())
            case "TUPLE":
                stack.append(tuple(popped()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                items = popped()
                stack.append({})
                _set_items(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "SETITEMS":
                items = popped()
                _set_items(stack[-1], items)
            case "APPEND":
                value = stack.pop()
                _extend(stack[-1], [value])
            case "APPENDS" | "ADDITEMS":
                values = popped()
                _extend(stack[-1], values)
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GLOBAL":
                stack.append(Name(str(argument).replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                if len(module) + len(name) > _LONGEST:
                    raise CorruptError(f"a name of {len(module) + len(name)} characters")
                stack.append(Name(".".join((module, name))))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "NEWOBJ_EX":
                _, arguments, function = stack.pop(), stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "OBJ":
                function, *arguments = popped()
                stack.append(_call(function, tuple(arguments)))
            case "INST":
                stack.append(Call(str(argument).replace(" ", "."), tuple(popped())))
            case "BUILD":
                stack.pop()  # the attributes of an object
            case "PERSID" | "BINPERSID":
                found = stack.pop() if argument is None else argument
                stack.append(Call(PERSISTENT, found))
                if references is not None:
                    references.append(found)
            case _ if opcode.arg is not None and not opcode.name.startswith("EXT"):
                stack.append(argument)  # a number, text or bytes
            case name:
                raise CorruptError(f"a pickle with the instruction {name}")
    return stack[-1]


def _call(function: Any, arguments: Any) -> Any:
    name = function.name if isinstance(function, Name) else "a call's result"
    return {} if name in _DICTIONARIES else Call(name, arguments)


def _set_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):  # or else an object
        target.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, str))


def _extend(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target += values
