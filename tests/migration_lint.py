"""What a migration may not do in silence, because servers use the tables meanwhile (docs/decisions/0018-migrations.md).

A comment `# lock: …` above a call, or at its end, says why the lock is harmless; `oldest_code = "00NN"` in the file
says which code the change leaves behind.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

FIRST = "0018"  # earlier ones are what they are
FREE = frozenset({"create_table", "drop_index", "f", "get_bind", "get_context", "create_table_comment"})
CONTRACTING = frozenset({"drop_column", "drop_table", "rename_table", "drop_constraint"})


@dataclass(frozen=True)
class Complaint:
    line: int
    message: str


def complaints(source: str) -> list[Complaint]:
    """What is wrong with a migration's `upgrade`, and with the functions that it may call."""
    tree = ast.parse(source)
    lines = source.splitlines()
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != "downgrade"]
    calls = [call for function in functions for call in _calls_of_op(function)]
    made_here = {_text(call.args[0]) for call in calls if _name(call) == "create_table" and call.args}
    leaves_behind = any(
        isinstance(node, ast.Assign | ast.AnnAssign) and "oldest_code" in ast.dump(node) for node in tree.body
    )
    found = []
    for call in calls:
        if _name(call) in CONTRACTING and not leaves_behind:
            found.append(Complaint(call.lineno, f"{_name(call)} breaks code that is running: declare oldest_code"))
        reason = _reason(call, made_here)
        if reason is not None and not _is_explained(call, lines):
            found.append(
                Complaint(call.lineno, f"{_name(call)} {reason}: say in a comment `# lock: …` why that is harmless")
            )
    return found


def _reason(call: ast.Call, made_here: set[str]) -> str | None:
    name = _name(call)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in FREE or name.startswith("_") or _table_of(call) in made_here:
        return None
    if name == "create_index":
        is_concurrent = _is_true(given.get("postgresql_concurrently"))
        return None if is_concurrent else "keeps everybody from writing to the table while the index is built"
    if name == "add_column":
        column = ast.dump(call)
        is_filled = "server_default" in column or "nullable" not in column or "Constant(value=True)" in column
        return None if is_filled else "fails, or writes the table anew, without a server_default"
    if name in ("create_foreign_key", "create_check_constraint"):
        return None if _is_true(given.get("postgresql_not_valid")) else "reads the whole table under a lock"
    return "may lock the table for long"


def _calls_of_op(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "op"
        ):
            yield node


def _name(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def _table_of(call: ast.Call) -> str | None:
    """`op.create_index(name, table)`, `op.create_foreign_key(name, table, …)`, and `op.add_column(table, …)`."""
    for keyword in call.keywords:
        if keyword.arg in ("table_name", "source_table"):
            return _text(keyword.value)
    place = 0 if _name(call) in ("add_column", "alter_column", "drop_column", "drop_table") else 1
    return _text(call.args[place]) if len(call.args) > place else None


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.dump(node)


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_explained(call: ast.Call, lines: list[str]) -> bool:
    end = call.end_lineno or call.lineno
    return any("# lock:" in line for line in lines[max(0, call.lineno - 2) : end])
