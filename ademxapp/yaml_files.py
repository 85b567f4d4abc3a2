"""YAML files of users: plain values only, read so that a damaged or hostile file costs little."""
import os
from typing import Any, ClassVar, Dict

import yaml

LONGEST = 2 ** 20  # bytes: seconds of work
DEEPEST = 50  # brackets within brackets: PyYAML's time grows with their square
_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")


def read_yaml(path: str) -> Any:
    """What a YAML file holds: mappings, lists, texts, numbers, true, false and null; dates are texts.

    An alias may stand for a text or number only. Raises OSError, or ValueError with one line that names the file.
    """
    size = os.path.getsize(path)
    if size > LONGEST:
        raise ValueError(f"{path} is no YAML file of this program: it has {size:,} bytes, wanted at most {LONGEST:,}")
    try:
        with open(path, "rb") as source:  # UTF-8, or UTF-16 where a mark says so
            return yaml.load(source, _Loader)
    except (yaml.YAMLError, ValueError, LookupError) as error:  # PyYAML lets some of what int() and others raise pass
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path} is no YAML file of this program: it is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """SafeLoader without the types that JSON does not have, and without what grows."""

    yaml_constructors: ClassVar[Dict[Any, Any]] = {
        f"tag:yaml.org,2002:{name}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{name}"] for name in _TYPES}
    yaml_constructors["tag:yaml.org,2002:timestamp"] = yaml.SafeLoader.construct_yaml_str
    yaml_constructors[None] = yaml.SafeLoader.construct_undefined

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.scanner.ScannerError(None, None, f"more than {DEEPEST} brackets within each other",
                                            self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: Any, index: Any) -> Any:
        alias = self.peek_event() if self.check_event(yaml.AliasEvent) else None
        node = super().compose_node(parent, index)
        if alias is not None and not isinstance(node, yaml.ScalarNode):  # lists of lists of … would grow beyond measure
            raise yaml.composer.ComposerError(None, None, f"the alias *{alias.anchor} stands for more than one value",
                                              alias.start_mark)
        return node
