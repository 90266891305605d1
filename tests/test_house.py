"""House rules that matter are executable."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "app"
SOURCES = sorted(APP.rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
FORBIDDEN = {
    "BaseHTTPMiddleware": "breaks context variables and costs 160 µs a request: write pure ASGI",
    "BackgroundTasks": "is lost with the process: queue a task",
    "get_settings": "settings are handed in, never looked up",
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_route(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = (decorator.func for decorator in function.decorator_list if isinstance(decorator, ast.Call))
    return any(
        isinstance(call, ast.Attribute) and call.attr in {"get", "post", "put", "patch", "delete"} for call in calls
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(APP)))
def test_a_file_keeps_the_house_rules(path: Path):
    source = path.read_text()
    tree = ast.parse(source)
    assert source.count("\n") <= LONGEST_FILE, "a room too many: split the file"
    for word, reason in FORBIDDEN.items():
        assert word not in source, f"{word} {reason}"
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{function.name} has {length} lines"
        imports = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not imports, f"{function.name} imports inside: imports stand at the top"


@pytest.mark.parametrize("path", sorted((APP / "api").glob("*.py")), ids=lambda path: path.name)
def test_a_route_translates_and_does_not_decide(path: Path):
    for function in functions(ast.parse(path.read_text())):
        if is_route(function):
            decisions = [node for node in ast.walk(function) if isinstance(node, ast.If | ast.Try)]
            assert not decisions, f"{function.name} decides: that belongs into a service"


def test_every_public_module_says_what_it_is_for():
    undocumented = [
        path for path in SOURCES if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert undocumented == []


def test_what_goes_over_the_wire_is_a_schema_and_routes_are_plans():
    for path in SOURCES:
        folder = path.relative_to(APP).parts[0]
        source = path.read_text()
        if folder == "schemas" and path.name != "base.py":
            assert "(BaseModel" not in source, f"{path.name}: a `Schema` costs a start less"
        if folder == "api" and path.name != "routing.py":
            assert "APIRouter" not in source, f"{path.name}: a `Router` costs a start less"


def test_no_dependency_of_a_route_waits_for_a_thread():
    trees = [ast.parse(path.read_text()) for path in (APP / "api").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Depends"]
    asked_for = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
    in_threads = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert len(asked_for) > 5
    assert asked_for & in_threads == set(), "FastAPI calls these in a thread: make them async def"
