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

    settings = MySettings.from_args(make_parser(__doc__, MySettings).parse_args(argv))

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
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar


class Decides(enum.Flag):
    """What a flag decides. One that decides nothing says where and how a program runs, and what it writes besides."""

    NOTHING = 0
    TRAINING = enum.auto()  # what a training makes
    TEST = enum.auto()  # what a test gives
    BOTH = TRAINING | TEST


def flag(help: str, default: Any = None, decides: Decides = Decides.NOTHING, *, contents: bool = False,
         recorded: bool = False, one_of: Optional[str] = None, positional: bool = False, **argument: Any) -> Any:
    """A field that is a flag; what is known of it besides its name, type and default is the field's metadata.

    With `contents` it names files, and what they hold counts, not their names. result.json and state.json have what is
    `recorded`, and all that decides something. Of flags with the same text in `one_of`, one at most may be given. One
    that is `positional` is an argument without a name. The rest is as of `ArgumentParser.add_argument`: type, choices,
    metavar, nargs. With the default False it takes no value.
    """
    return dataclasses.field(default=default, metadata={
        "decides": decides, "contents": contents, "recorded": recorded or bool(decides), "one_of": one_of,
        "positional": positional, "argument": {"help": help, **argument}})


def changed(owner: Type["Settings"], name: str, default: Any) -> Any:
    """The flag of another class, with another default."""
    return dataclasses.field(default=default, metadata=owner.__dataclass_fields__[name].metadata)


S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """What a program is asked for."""

    GROUP: ClassVar[str] = ""  # the title of the class' own flags in --help; without one they stand among the parser's
    ABOUT: ClassVar[Optional[str]] = None  # what stands there under the title

    @classmethod
    def add_to(cls, parser: ArgumentParser) -> None:
        """Add all flags to a parser, in the groups of the classes that they come from."""
        groups: Dict[str, Any] = {"": parser}
        for one in fields(cls):
            home = next(base for base in reversed(cls.__mro__)
                        if issubclass(base, Settings) and one.name in base.__dataclass_fields__)
            if home.GROUP not in groups:
                groups[home.GROUP] = parser.add_argument_group(home.GROUP, home.ABOUT)
            one_of = one.metadata["one_of"]
            if one_of and one_of not in groups:
                groups[one_of] = groups[home.GROUP].add_mutually_exclusive_group()
            name = one.name if one.metadata["positional"] else f"--{one.name.replace('_', '-')}"
            no_value = {"action": "store_true"} if one.default is False else {}
            groups[one_of or home.GROUP].add_argument(
                name, **{"default": one.default, **no_value, **one.metadata["argument"]})

    @classmethod
    def from_args(cls: Type[S], args: Namespace) -> S:
        """The settings that a parser found."""
        return cls(**{one.name: getattr(args, one.name) for one in fields(cls)})

    @classmethod
    def from_recorded(cls: Type[S], arguments: Mapping[str, Any]) -> S:
        """The settings of a record, as of `arguments`; what it lacks is as if it had not been given."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: _frozen(value) for name, value in arguments.items() if name in known})

    def arguments(self) -> Dict[str, Any]:
        """What result.json and state.json record: {name: value, of JSON's types}."""
        return self._some(lambda about: about["recorded"])

    def identity(self, what: Decides) -> Dict[str, Any]:
        """What decides `what`, but for files' contents: {name: value, of JSON's types}."""
        return self._some(lambda about: about["decides"] & what and not about["contents"])

    def differences(self, recorded: Mapping[str, Any], what: Decides, leave: Sequence[str] = ()) -> List[str]:
        """Names of the flags that decide `what` and are recorded otherwise, sorted; older records lack new flags."""
        now, paths = self._some(lambda about: about["decides"] & what), self.contents_flags()
        return sorted(name for name, value in now.items() if name not in leave
                      and _comparable(value, name in paths) != _comparable(recorded.get(name), name in paths))

    @classmethod
    def contents_flags(cls) -> Tuple[str, ...]:
        """Names of the flags that count by what their files hold."""
        return tuple(one.name for one in fields(cls) if one.metadata["contents"])

    def files(self) -> List[str]:
        """What the flags name that count by contents: paths, and names that may be paths."""
        values = [getattr(self, name) for name in self.contents_flags()]
        return [one for value in values if value for one in ((value,) if isinstance(value, str) else value)]

    def _some(self, chosen: Callable[[Mapping[str, Any]], Any]) -> Dict[str, Any]:
        """The flags whose metadata are `chosen`: {name: value, of JSON's types}."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if chosen(one.metadata)}
        return json.loads(json.dumps(found))


def _comparable(value: Any, is_path: bool) -> Any:
    """A recorded value, None where nothing is given; a file's name in one of its spellings."""
    if is_path and isinstance(value, list):
        return [_comparable(one, True) for one in value] or None
    return os.path.normpath(value) if is_path and value else value or None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
