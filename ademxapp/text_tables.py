"""Tables as text: for the terminal, or in Markdown."""
from typing import Iterable, Sequence

FORMATS = ("table", "markdown", "json")


def table(columns: Sequence[object], rows: Iterable[Sequence[object]], markdown: bool = False) -> str:
    """Rows of values under their columns' names."""
    lines = [tuple(map(str, columns))] + [tuple(map(str, row)) for row in rows]
    if markdown:
        lines.insert(1, ("---",) * len(columns))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def paragraphs(*parts: str) -> str:
    """A text of those parts that there are."""
    return "\n\n".join(part for part in parts if part) + "\n"
