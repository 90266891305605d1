"""A small language for conditions on documents' metadata, such as `{"year": {"$gte": 2020}, "kind": "report"}`.

A field's condition is a value that it must equal, or operators: `$eq $ne $gt $gte $lt $lte $in $exists`. Conditions are
joined by `$and`, `$or` and `$not`; fields beside each other must all hold. A dot leads into an object. A list in the
metadata fits when one of its members does. What cannot be compared, or is not there, does not fit, except for `$ne`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

MOST_CONDITIONS = 50
DEEPEST = 5
LONGEST_LIST = 100
LONGEST_TEXT = 1_000  # characters of a field's name or of a value

COMPARISONS = {"$eq": "==", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
ORDERED = ("$gt", "$gte", "$lt", "$lte")


@dataclass(slots=True)
class Predicate:
    """A condition as SQL's JSON path language says it: values are variables, `operands`, never part of the `path`."""

    path: str = ""
    operands: dict[str, Any] = field(default_factory=dict)
    conditions: int = 0


def compile_condition(condition: Mapping[str, Any]) -> Predicate:
    """
    Raises:
        ValueError: it is not of this language, too large or too deep; says where.
    """
    predicate = Predicate()
    predicate.path = _all_of(condition, predicate, "where", 1)
    return predicate


def _all_of(condition: object, predicate: Predicate, where: str, depth: int) -> str:
    if not isinstance(condition, Mapping) or not condition:
        raise ValueError(f"{where} must be an object with at least one condition")
    if depth > DEEPEST:
        raise ValueError(f"{where} is nested more than {DEEPEST} deep")
    parts = [_one(name, wanted, predicate, f"{where}.{name[:40]}", depth) for name, wanted in condition.items()]
    return " && ".join(f"({part})" for part in parts)


def _one(name: str, wanted: object, predicate: Predicate, where: str, depth: int) -> str:
    predicate.conditions += 1
    if predicate.conditions > MOST_CONDITIONS:
        raise ValueError(f"there are more than {MOST_CONDITIONS} conditions")
    if name in ("$and", "$or"):
        if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
            raise ValueError(f"{where} must be a list of conditions")
        parts = [_all_of(one, predicate, f"{where}[{index}]", depth + 1) for index, one in enumerate(wanted)]
        return {"$and": " && ", "$or": " || "}[name].join(f"({part})" for part in parts)
    if name == "$not":
        return f"!({_all_of(wanted, predicate, where, depth + 1)})"
    if name.startswith("$"):
        raise ValueError(f"{where} is no operator here: $and, $or and $not join conditions")
    return _field(_path(name, where), wanted, predicate, where)


def _path(name: str, where: str) -> str:
    keys = name.split(".")
    if not all(keys) or len(name) > LONGEST_TEXT or "\0" in name:
        raise ValueError(f"{where} is no name of a field")
    return "$" + "".join(f".{json.dumps(key)}" for key in keys)


def _field(path: str, wanted: object, predicate: Predicate, where: str) -> str:
    if not isinstance(wanted, Mapping):
        return _comparison(path, "$eq", wanted, predicate, where)
    if not wanted:
        raise ValueError(f"{where} must have at least one operator")
    parts = [_comparison(path, operator, value, predicate, where) for operator, value in wanted.items()]
    return " && ".join(f"({part})" for part in parts)


def _comparison(path: str, operator: str, value: object, predicate: Predicate, where: str) -> str:
    if operator == "$exists":
        if not isinstance(value, bool):
            raise ValueError(f"{where}: $exists takes true or false")
        return f"exists({path})" if value else f"!(exists({path}))"
    if operator == "$in":
        if not isinstance(value, list) or not 0 < len(value) <= LONGEST_LIST:
            raise ValueError(f"{where}: $in takes a list of 1 to {LONGEST_LIST} values")
        for one in value:
            _require_scalar(one, where)
        return f"{path} == ${_operand(value, predicate)}[*]"
    if operator not in COMPARISONS:
        raise ValueError(f"{where}: {operator[:40]} is none of {', '.join((*COMPARISONS, '$in', '$exists'))}")
    _require_scalar(value, where)
    if operator in ORDERED and (value is None or isinstance(value, bool)):
        raise ValueError(f"{where}: {operator} compares numbers or texts")
    variable = f"${_operand(value, predicate)}"
    return f"!({path} == {variable})" if operator == "$ne" else f"{path} {COMPARISONS[operator]} {variable}"


def _operand(value: object, predicate: Predicate) -> str:
    name = f"v{len(predicate.operands)}"
    predicate.operands[name] = value
    return name


def _require_scalar(value: object, where: str) -> None:
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or "\0" in value):
        raise ValueError(f"{where}: a text has at most {LONGEST_TEXT} characters, none of them U+0000")
    if not (value is None or isinstance(value, (bool, int, float, str))):
        raise ValueError(f"{where}: values are texts, numbers, true, false or null")
    if isinstance(value, float) and not -1e308 < value < 1e308:
        raise ValueError(f"{where}: a number must be finite")


def _checked(condition: dict[str, Any]) -> dict[str, Any]:
    compile_condition(condition)
    return condition


Where = Annotated[
    dict[str, Any],
    AfterValidator(_checked),
    Field(
        description="Conditions on documents' metadata: values to equal, or `$eq $ne $gt $gte $lt $lte $in $exists`, "
        "joined by `$and`, `$or`, `$not`.",
        examples=[{"year": {"$gte": 2020}, "$or": [{"kind": "report"}, {"tags": {"$in": ["audit", "tax"]}}]}],
    ),
]
