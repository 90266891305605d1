"""Tables as Markdown, so that what stands in one column can be told from what stands in the next."""

from collections.abc import Iterable, Mapping, Sequence

MAX_EMPTY_SHARE = 20  # cells per filled one; a sheet with a few scattered values would be mostly bars


def table(rows: Iterable[Sequence[str]]) -> str:
    """Lines of a Markdown table, whose first row is its head; rows and columns that are empty are left out.

    What is in a cell stays as it is: a bar in it is not escaped, since a quote must be found in the file.
    """
    return sparse_table([dict(enumerate(row)) for row in rows])


def sparse_table(rows: Iterable[Mapping[int, str]]) -> str:
    """The same for rows that say which of their columns are filled; scattered cells are lines without columns.

    Rows of one cell that stand above all others are a caption: lines above the table.
    """
    filled = [found for row in rows if (found := _filled(row))]
    captions = next((count for count, row in enumerate(filled) if len(row) > 1), len(filled))
    above = [next(iter(row.values())) for row in filled[:captions]]
    return "\n".join([*above, *_lines(filled[captions:])])


def _lines(filled: Sequence[Mapping[int, str]]) -> Iterable[str]:
    columns = sorted({column for row in filled for column in row})
    if len(columns) < 2 or len(filled) * len(columns) > MAX_EMPTY_SHARE * (sum(map(len, filled)) + len(columns)):
        return [" | ".join(row[column] for column in sorted(row)) for row in filled]
    lines = [row_line(row.get(column, "") for column in columns) for row in filled]
    return [lines[0], head_line(len(columns)), *lines[1:]]


def row_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def head_line(width: int) -> str:
    """What stands below the first row of a table."""
    return row_line(["---"] * width)


def _filled(row: Mapping[int, str]) -> dict[int, str]:
    shown = ((column, " ".join(cell.split())) for column, cell in row.items())
    return {column: cell for column, cell in shown if cell}
