"""A flag is a field: command lines as frozen dataclasses.

What a program is asked for is a dataclass that derives from `Settings`. Each field is a flag, with everything that is
known of it in one place, and each class is a group of the program's `--help`:

    @dataclass(frozen=True)
    class Testing(Settings):
        GROUP = "testing"
        test_flipping: bool = flag("average with the mirrored image", False, Decides.TEST)
        tag: Optional[str] = flag("ends the name of the test's folder", type=file_name)

    @dataclass(frozen=True)
    class MySettings(Testing, Data, Devices):  # the last base's flags come first in the help
        split: str = changed(Data, "split", "val")

    def main(argv: Optional[Sequence[str]] = None) -> None:
        parser = make_parser(__doc__)
        MySettings.add_to(parser)
        settings = MySettings.from_args(parser.parse_args(argv))

From there on only `settings` travels. It is never changed: `dataclasses.replace` makes another one, most often once,
where what was not given is filled in. A function names the smallest class that has what it reads (`devices(settings:
Devices, …)`), so that any program's settings, or `Devices(cpus=2)`, will do.

Whether two runs are the same follows from the fields: `identity(Decides.TEST)` has what decides a test's labels but for
the contents of files, `arguments()` what result.json and state.json record. `from_recorded` makes settings of a record.
"""
import dataclasses
import enum
import json
import os
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar


class Decides(enum.Flag):
    """What a flag decides. One that decides nothing says where and how a program runs, and what it writes besides."""

    NOTHING = 0
    TRAINING = enum.auto()  # what a training makes
    TEST = enum.auto()  # what a test gives
    BOTH = TRAINING | TEST


@dataclass(frozen=True)
class Flag:
    """What is known of a flag besides its name, type and default.

    Attributes
    ----------
    help : str
    decides : Decides
    contents : bool
        It names files, and what they hold counts, not their names.
    recorded : bool
        result.json and state.json have it.
    one_of : str, optional
        Of flags with the same text here, one at most may be given.
    positional : bool
        It is an argument without a name.
    argument : dict
        More that `ArgumentParser.add_argument` takes: type, choices, metavar, nargs.
    """

    help: str
    decides: Decides
    contents: bool
    recorded: bool
    one_of: Optional[str]
    positional: bool
    argument: Mapping[str, Any]


def flag(help: str, default: Any = None, decides: Decides = Decides.NOTHING, *, contents: bool = False,
         recorded: bool = False, one_of: Optional[str] = None, positional: bool = False,
         **argument: Any) -> Any:
    """A field that is a flag, as `Flag` describes it; what decides something is always recorded.

    With the default False it takes no value.
    """
    about = Flag(help, decides, contents, recorded or bool(decides), one_of, positional, argument)
    return dataclasses.field(default=default, metadata={"flag": about})


def changed(owner: Type["Settings"], name: str, default: Any) -> Any:
    """The flag of another class, with another default."""
    return dataclasses.field(default=default, metadata=_field(owner, name).metadata)


S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """What a program is asked for."""

    # The title of the class' own flags in --help; without one they stand among the parser's own.
    GROUP: ClassVar[str] = ""
    ABOUT: ClassVar[Optional[str]] = None  # what stands there under the title

    @classmethod
    def add_to(cls, parser: ArgumentParser) -> None:
        """Add all flags to a parser, in the groups of the classes that they come from."""
        groups: Dict[str, Any] = {"": parser}
        for name, about, default in cls.flags():
            home = next(one for one in reversed(cls.__mro__)
                        if issubclass(one, Settings) and name in one.__dataclass_fields__)
            if home.GROUP not in groups:
                groups[home.GROUP] = parser.add_argument_group(home.GROUP, home.ABOUT)
            if about.one_of and about.one_of not in groups:
                groups[about.one_of] = groups[home.GROUP].add_mutually_exclusive_group()
            group = groups[about.one_of or home.GROUP]
            argument = {"action": "store_true"} if default is False else {}
            group.add_argument(name if about.positional else f"--{name.replace('_', '-')}",
                               **{"default": default, "help": about.help, **argument, **about.argument})

    @classmethod
    def flags(cls) -> Iterator[Tuple[str, Flag, Any]]:
        """(name, `Flag`, default) of every flag."""
        return ((one.name, one.metadata["flag"], one.default) for one in fields(cls))

    @classmethod
    def from_args(cls: Type[S], args: Namespace) -> S:
        """The settings that a parser found."""
        return cls(**{name: getattr(args, name) for name, _, _ in cls.flags()})

    @classmethod
    def from_recorded(cls: Type[S], arguments: Mapping[str, Any]) -> S:
        """The settings of a record, as of `arguments`; what it lacks is as if it had not been given."""
        known = {name for name, _, _ in cls.flags()}
        return cls(**{name: _frozen(value) for name, value in arguments.items() if name in known})

    def arguments(self) -> Dict[str, Any]:
        """What result.json and state.json record: {name: value, of JSON's types}."""
        return self._some(lambda about: about.recorded)

    def identity(self, what: Decides) -> Dict[str, Any]:
        """What decides `what`, but for files' contents: {name: value, of JSON's types}."""
        return self._some(lambda about: about.decides & what and not about.contents)

    def differences(self, recorded: Mapping[str, Any], what: Decides, leave: Sequence[str] = ()) -> List[str]:
        """Names of the flags that decide `what` and are recorded otherwise, sorted; older records lack new flags."""
        now = self._some(lambda about: about.decides & what)
        named = self.contents_flags()
        return sorted(name for name, value in now.items() if name not in leave
                      and _comparable(value, name in named) != _comparable(recorded.get(name), name in named))

    @classmethod
    def contents_flags(cls) -> Tuple[str, ...]:
        """Names of the flags that count by what their files hold."""
        return tuple(name for name, about, _ in cls.flags() if about.contents)

    def files(self) -> List[str]:
        """What the flags name that count by contents: paths, and names that may be paths."""
        values = [getattr(self, name) for name in self.contents_flags()]
        return [one for value in values if value for one in ((value,) if isinstance(value, str) else value)]

    def _some(self, chosen: Callable[[Flag], Any]) -> Dict[str, Any]:
        return json.loads(json.dumps({name: getattr(self, name) for name, about, _ in self.flags() if chosen(about)}))


def _field(owner: Type[Settings], name: str) -> "dataclasses.Field[Any]":
    return next(one for one in fields(owner) if one.name == name)


def _comparable(value: Any, is_path: bool) -> Any:
    """A recorded value, None where nothing is given; a file's name in one of its spellings."""
    if is_path and isinstance(value, list):
        return [_comparable(one, True) for one in value] or None
    return os.path.normpath(value) if is_path and value else value or None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
