"""How a table lies on lines that may be short: nothing is ever cut. Pure.

Too wide for the lines, columns go that say they may; then texts fold; then what is left over stands below its row:
texts first, states last.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from directpv_cli.showing.terminal.cells import Column, Tinted, state_colour
from directpv_cli.showing.terminal.text import padded, width, wrapped

Paint = Callable[[str, str], str]
"""Returns a text in a colour, whose width is that of the text."""

GAP: Final = "   "
INDENT: Final = "  "


class Frame(NamedTuple):
    """The lines around cells: a character each."""

    top: str
    header: str
    bottom: str
    bar: str
    line: str


ROUND: Final = Frame("╭┬╮", "├┼┤", "╰┴╯", "│", "─")
ASCII: Final = Frame("+++", "+++", "+++", "|", "-")


class Plan(NamedTuple):
    """Which columns stand side by side, how wide each is, and which stand below their row."""

    beside: list[tuple[int, int]]
    """Index and width."""
    below: list[int]


def plan(columns: Sequence[Column], widths: Sequence[int], room: int) -> Plan:
    """Fit columns of ``widths`` into ``room`` for a framed table; see the module."""
    left = list(range(len(columns)))
    for index in sorted(left, key=lambda each: -columns[each].goes):
        if columns[index].goes and _needs(left, widths) > room:
            left.remove(index)
    fitted = _folded(columns, left, list(widths), room)
    below: list[int] = []
    while _needs(left, fitted) > room and len(left) > 1:
        below.append(max(left[1:], key=lambda each: (columns[each].folds > 0, not columns[each].state, each)))
        left.remove(below[-1])
        fitted = _folded(columns, left, list(widths), room)
    return Plan([(index, fitted[index]) for index in left], sorted(below))


def _needs(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + 3 * len(shown) + 1


def _folded(columns: Sequence[Column], shown: Sequence[int], widths: list[int], room: int) -> list[int]:
    """Narrow the widest of the columns that fold, as far as they may be."""
    least = {index: max(columns[index].folds, len(columns[index].title)) for index in shown if columns[index].folds}
    excess = _needs(shown, widths) - room
    while excess > 0 and least:
        widest = max(least, key=lambda index: widths[index])
        others = [widths[index] for index in least if index != widest]
        floor = max(least[widest], min(widths[widest] - 1, max(others, default=0)))
        if widths[widest] <= least[widest]:
            del least[widest]
            continue
        taken = min(excess, widths[widest] - floor)
        widths[widest] -= taken
        excess -= taken
    return widths


def plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, headers: bool) -> Iterator[str]:
    """Yield one line per row, as kubectl prints them: for programs, which split at runs of spaces."""
    lines = [[column.title for column in columns]] * headers + [list(row) for row in rows]
    widths = [max(map(width, cells), default=0) for cells in zip(*lines, strict=True)]
    for line in lines:
        yield GAP.join(map(padded, line, widths)).rstrip(" ")


def framed(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, room: int, frame: Frame, paint: Paint
) -> Iterator[str]:
    """Yield the lines of a table with a frame around it, none wider than ``room`` if its first column is not."""
    widths = [max([len(column.title), *(width(row[i]) for row in rows)]) for i, column in enumerate(columns)]
    chosen = plan(columns, widths, room)
    beside = _stretched(columns, rows, chosen, room)
    sizes = [size for _, size in beside]
    yield _rule(frame.top, frame.line, sizes)
    titles = [(columns[index].title, "bold") for index, _ in beside]
    yield _line(titles, sizes, frame.bar, paint)
    yield _rule(frame.header, frame.line, sizes)
    for row in rows:
        yield from _row(columns, row, beside, frame.bar, paint)
        yield from _below(columns, row, chosen.below, sum(sizes) + 3 * (len(sizes) - 1), frame.bar)
    yield _rule(frame.bottom, frame.line, sizes)


def _stretched(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], chosen: Plan, room: int
) -> list[tuple[int, int]]:
    """Return the columns, the last one as wide as what stands below wants and the lines allow."""
    wanted = [width(INDENT + INDENT.join(_texts(columns, row, chosen.below))) for row in rows if chosen.below]
    inner = sum(size for _, size in chosen.beside) + 3 * (len(chosen.beside) - 1)
    more = min(max(wanted, default=0), room - 4) - inner
    *rest, (last, size) = chosen.beside
    return [*rest, (last, size + max(0, more))]


def _row(
    columns: Sequence[Column], row: Sequence[str], beside: Sequence[tuple[int, int]], bar: str, paint: Paint
) -> Iterator[str]:
    cells = [wrapped(row[index], size) if width(row[index]) > size else [row[index]] for index, size in beside]
    colours = [_colour(columns[index], row[index]) for index, _ in beside]
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        yield _line(list(zip(texts, colours, strict=True)), [size for _, size in beside], bar, paint)


def _colour(column: Column, text: str) -> str:
    if isinstance(text, Tinted):
        return text.colour
    return state_colour(text) if column.state else ""


def _below(columns: Sequence[Column], row: Sequence[str], below: Sequence[int], inner: int, bar: str) -> Iterator[str]:
    room, line = inner - len(INDENT), ""
    for text in _texts(columns, row, below):
        if line and width(line + INDENT + text) > room:
            yield from _indented(line, room, bar)
            line = ""
        line += INDENT * bool(line) + text
    yield from _indented(line, room, bar) if line else ()


def _indented(text: str, room: int, bar: str) -> Iterator[str]:
    """Yield the lines of a text that stands below its row; it is wrapped only if no line is long enough for it."""
    for line in wrapped(text, room):
        yield f"{bar} {INDENT}{padded(line, room)} {bar}"


def _texts(columns: Sequence[Column], row: Sequence[str], below: Sequence[int]) -> list[str]:
    return [f"{columns[index].title}: {row[index]}" for index in below if row[index] != "-"]


def _line(cells: Sequence[tuple[str, str]], sizes: Sequence[int], bar: str, paint: Paint) -> str:
    texts = [
        (paint(text, colour) if colour else text) + " " * (size - width(text))
        for (text, colour), size in zip(cells, sizes, strict=True)
    ]
    return f"{bar} {f' {bar} '.join(texts)} {bar}"


def _rule(corners: str, line: str, sizes: Sequence[int]) -> str:
    left, middle, right = tuple(corners)
    return left + middle.join(line * (size + 2) for size in sizes) + right
