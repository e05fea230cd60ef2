"""Classes that a file each holds: those of a package by the file's name, a person's by module."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from pipeline.errors import UserError

Kind = TypeVar("Kind")


def names(package: ModuleType) -> list[str]:
    """The names of the files of a package, none of which is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def is_outside(name: str) -> bool:
    """Whether it is a module outside the package, as `mine.loudness`: only a person may name it."""
    return "." in name


def class_of(name: str, package: ModuleType, kind: type[Kind]) -> type[Kind] | None:
    """The one class of `kind` in `package`'s file of that name, or in a module from outside.

    None where there is no such module. Raises UserError where it holds none, or several.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    module_name = name if is_outside(name) else f"{package.__name__}.{name}"
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        return None
    classes = _classes(module, kind)
    if len(classes) != 1:
        told = f"expected one {kind.__name__} in this file, found {len(classes)}"
        raise UserError(f"{module_name}: {told}")
    return classes[0]


def classes_of(package: ModuleType, kind: type[Kind]) -> dict[str, type[Kind]]:
    """The class of `kind` in each file of a package that holds one, by the file's name."""
    by_name = {
        name: _classes(import_module(f"{package.__name__}.{name}"), kind) for name in names(package)
    }
    return {name: classes[0] for name, classes in by_name.items() if len(classes) == 1}


def _classes(module: ModuleType, kind: type[Kind]) -> list[type[Kind]]:
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, kind) and found is not kind and found.__module__ == module.__name__
    ]
