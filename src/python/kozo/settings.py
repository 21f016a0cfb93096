"""The options of a Role: declared in Python, checked by the Node, described by themselves."""

from __future__ import annotations

from functools import partial

from . import durations
from .errors import KozoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")


_MISSING: Any = object()
#: What an option of a Python type is for the Node.
_KINDS = {
    "bool": "flag",
    "int": "integer",
    "float": "number",
    "str": "text",
    "list": "list",
    "Path": "path",
    "timedelta": "duration",
}
_FLAGS = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}


class Option:
    """One option: what it is called, takes and means. See `option`, which is what to call."""

    def __init__(
        self,
        default: object,
        description: str,
        kind: str | None,
        bounds: tuple[float | str | None, float | str | None],
        choices: Sequence[str] | None,
    ) -> None:
        self.default, self.description, self.kind = default, description, kind
        self.least, self.most = bounds
        self.choices = choices
        # What makes the value that a program sees of the one that the Node says.
        self.make: Callable[[Any], object] | None = None

    def learn(self, annotation: object) -> None:
        """Learn of a type what the option was not told."""
        kind, self.make, choices, is_optional = _read_annotation(annotation)
        self.choices = self.choices or choices
        if self.kind is None and not self.choices:
            self.kind = kind
        if is_optional and self.default is _MISSING:
            self.default = None

    def learn_of_default(self) -> None:
        """Learn of the default what the option was not told."""
        if self.kind is None and not self.choices and self.default not in (_MISSING, None):
            self.kind = _KINDS.get(_type_name(type(self.default)))

    def described(self) -> dict[str, object]:
        """Say it as a description of a type does."""
        said: dict[str, object] = {"description": self.description}
        if self.choices:
            said["choices"] = list(self.choices)
        elif self.kind:
            said["kind"] = self.kind
        if self.default is not _MISSING:
            said["default"] = _plain(self.default)
        bounds = {"min": self.least, "max": self.most}
        return said | {name: bound for name, bound in bounds.items() if bound is not None}

    def value(self, said: Any) -> object:
        """Give the value that a program sees, of the one that the Node says."""
        if self.kind == "number" and isinstance(said, int) and not isinstance(said, bool):
            said = float(said)
        return self.make(said) if self.make and said is not None else said

    def parse(self, name: str, text: str) -> object:
        """Read a value from a command line, as a configuration has it.

        Raises:
            KozoError: It is none; the text says what is allowed.
        """
        try:
            value = _parse(self.kind, text)
        except (ValueError, KeyError) as error:
            said = error.args[0] if self.kind in ("duration", "size") else f"{text!r} is no {self.kind}"
            raise KozoError(f"the option {name!r}: {said}") from None
        if self.choices and text not in self.choices:
            raise KozoError(f"the option {name!r}: {text!r} is not one of {', '.join(self.choices)}")
        if self.least is not None and value < _bound(self.kind, self.least):
            raise KozoError(f"the option {name!r}: {text} is too small: at least {self.least} is allowed")
        if self.most is not None and value > _bound(self.kind, self.most):
            raise KozoError(f"the option {name!r}: {text} is too large: at most {self.most} is allowed")
        return value


def option(
    default: Any = _MISSING,
    description: str = "",
    *,
    kind: str | None = None,
    min: float | str | None = None,
    max: float | str | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Describe an option in more detail than its default does.

    >>> options = kozo.options(pin=kozo.option(7, "Where the bell is.", min=0, max=40), pause=kozo.option("2s", kind="duration"))
    >>> options.pin, options.pause
    (7, 2)

    Args:
        default: The value if the configuration has none. An option without a default is required; with None it is optional.
        description: What the option means, for users.
        kind: `flag`, `integer`, `number`, `duration`, `size`, `text`, `path`, `list` or
            `any` (a text or a list, as it is written); else what the default is, and `any` without one.
        min: The smallest allowed value.
        max: The largest allowed value.
        choices: The allowed texts.
    """
    return Option(default, description, kind, (min, max), choices)


class Options:
    """Options that were declared as keyword arguments: an attribute for each."""

    def __getattr__(self, name: str) -> Any:
        """Say what there is, if there is no such option."""
        known = ", ".join(sorted(self.__dict__)) or "none"
        raise AttributeError(f"there is no option {name!r}, or it has no value before kozo.run(); there are: {known}")

    def __repr__(self) -> str:
        """Show the values."""
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


class Declared:
    """The options of a Role, and the objects in which programs see them."""

    def __init__(self) -> None:
        self.options: dict[str, Option] = {}
        self._shown: list[tuple[object, list[str]]] = []

    def declare_class(self, cls: type[T]) -> T:
        """Declare an option for each annotation of a class, and give an object with their values."""
        found: dict[str, Option] = {}
        fields = getattr(cls, "__dataclass_fields__", {})
        for name, annotation in _annotations(cls).items():
            default = getattr(cls, name, _MISSING)
            field = fields.get(name)
            told = _told(default)
            if field is not None and not isinstance(default, Option):
                told = _of_field(field)
            told.learn(annotation)
            told.learn_of_default()
            found[name] = told
        shown = cls.__new__(cls)
        self._add(shown, found)
        return shown

    def declare(self, named: Mapping[str, object]) -> Options:
        """Declare options by their defaults, and give an object with their values."""
        found = {name: _told(default) for name, default in named.items()}
        for told in found.values():
            told.learn_of_default()
        shown = Options()
        self._add(shown, found)
        return shown

    def add(self, name: str, told: Mapping[str, Any]) -> None:
        """Declare an option by its description."""
        bounds = (told.get("min"), told.get("max"))
        default = told.get("default", _MISSING)
        option = Option(default, told.get("description", ""), told.get("kind"), bounds, told.get("choices"))
        option.learn_of_default()
        self.options[name] = option

    def _add(self, shown: object, found: dict[str, Option]) -> None:
        for name, told in found.items():
            if name in self.options:
                raise KozoError(f"the option {name!r} is declared twice")
            self.options[name] = told
            if told.default is not _MISSING:
                object.__setattr__(shown, name, told.value(_plain_of(told)))
        self._shown.append((shown, list(found)))

    def take(self, said: Mapping[str, object]) -> None:
        """Show the values that the Node says, and the defaults of others."""
        for shown, names in self._shown:
            for name in names:
                told = self.options[name]
                if name in said:
                    object.__setattr__(shown, name, told.value(said[name]))
            after = getattr(type(shown), "__post_init__", None)
            if after is not None:
                after(shown)

    def missing(self, said: Mapping[str, object]) -> list[str]:
        """Name the options that must be given and are not."""
        return [name for name, told in self.options.items() if told.default is _MISSING and name not in said]

    def defaults(self) -> dict[str, object]:
        """Give what the Node would say if the configuration says nothing."""
        told = ((name, told) for name, told in self.options.items() if told.default not in (_MISSING, None))
        return {name: _plain_of(told) for name, told in told}

    def described(self) -> dict[str, object]:
        """Say all of them as a description of a type does."""
        return {name: told.described() for name, told in self.options.items()}


def _told(default: object) -> Option:
    return default if isinstance(default, Option) else Option(default, "", None, (None, None), None)


def _annotations(cls: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        found.update(getattr(base, "__annotations__", {}))
    if any(isinstance(annotation, str) for annotation in found.values()):
        from typing import get_type_hints

        return get_type_hints(cls)
    return found


def _of_field(field: Any) -> Option:
    import dataclasses

    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    elif default is dataclasses.MISSING:
        default = _MISSING
    told = field.metadata
    bounds = (told.get("min"), told.get("max"))
    return Option(default, told.get("description", ""), told.get("kind"), bounds, told.get("choices"))


def _read_annotation(annotation: Any) -> tuple[str | None, Callable[[Any], object] | None, list[str] | None, bool]:
    """Give the kind, what makes a value, the choices, and whether None is one."""
    arguments = getattr(annotation, "__args__", ())
    name = _type_name(annotation)
    if type(None) in arguments:
        others = [other for other in arguments if other is not type(None)]
        kind, make, choices, _ = _read_annotation(others[0])
        return kind, make, choices, True
    if name == "Literal":
        return None, None, list(arguments), False
    makers: dict[str, Callable[[Any], object]] = {"Path": annotation, "timedelta": partial(_timedelta, annotation)}
    return _KINDS.get(name), makers.get(name), None, False


def _timedelta(cls: Any, said: Any) -> object:
    return said if isinstance(said, cls) else cls(seconds=said)


def _type_name(annotation: Any) -> str:
    name: str = getattr(annotation, "__name__", "") or getattr(annotation, "_name", "") or ""
    return "Path" if name in ("PosixPath", "PurePath", "PurePosixPath") else name


def _plain(value: Any) -> object:
    """Give a default as JSON can say it."""
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    return list(value) if isinstance(value, tuple) else value


def _plain_of(told: Option) -> object:
    """Give the default as the Node would say it."""
    default = _plain(told.default)
    if told.kind == "duration" and isinstance(default, str):
        return durations.seconds(default)
    if told.kind == "size" and isinstance(default, str):
        return durations.size(default)
    return default


def _parse(kind: str | None, text: str) -> Any:
    readers: dict[str | None, Callable[[str], object]] = {
        "flag": lambda text: _FLAGS[text.strip().lower()],
        "integer": int,
        "number": float,
        "duration": durations.seconds,
        "size": durations.size,
        "list": lambda text: [item.strip() for item in text.split(",")],
    }
    return readers.get(kind, str)(text)


def _bound(kind: str | None, bound: float | str) -> Any:
    return _parse(kind, bound) if isinstance(bound, str) else bound
