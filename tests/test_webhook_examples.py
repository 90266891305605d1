"""The examples of `docs/projects.md` believe what this server signs, and nothing else."""

import json
import re
import shutil
import subprocess
import time

import pytest

from app.security import make_webhook_secret, sign_webhook
from tests.conftest import REPOSITORY

BODY = '{"type":"complete","data":{"message":"schön"}}'.encode()


def example(language: str) -> str:
    text = (REPOSITORY / "docs" / "projects.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


def headers_of(*secrets: str, age: int = 0) -> dict[str, str]:
    at = int(time.time()) - age
    signature = sign_webhook(secrets, "an-id", at, BODY)
    return {"webhook-id": "an-id", "webhook-timestamp": str(at), "webhook-signature": signature}


def cases() -> list[tuple[str, dict[str, str], bytes, bool]]:
    """Secret, headers, body, and whether they are to be believed."""
    old, new, other = make_webhook_secret(), make_webhook_secret(), make_webhook_secret()
    both = headers_of(new, old)
    return [
        (new, both, BODY, True),
        (old, both, BODY, True),
        (other, both, BODY, False),
        (new, both, BODY + b" ", False),
        (new, both | {"webhook-id": "another"}, BODY, False),
        (new, both | {"webhook-signature": "v1,"}, BODY, False),
        (new, headers_of(new, age=400), BODY, False),
    ]


def test_the_python_example_works():
    names: dict = {}
    exec(example("python"), names)
    for secret, headers, body, is_good in cases():
        if is_good:
            assert names["verify"](secret, headers, body) == json.loads(BODY)
        else:
            with pytest.raises(ValueError):  # noqa: PT011 - every reason is one
                names["verify"](secret, headers, body)


def test_the_javascript_example_works(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    (tmp_path / "verify.mjs").write_text(example("javascript"), encoding="utf-8")
    given = [(secret, headers, body.decode()) for secret, headers, body, _ in cases()]
    (tmp_path / "cases.mjs").write_text(
        'import { verify } from "./verify.mjs";\n'
        f"const cases = {json.dumps(given)};\n"
        "const judged = cases.map(([secret, headers, body]) => {\n"
        "  try { return verify(secret, headers, Buffer.from(body)).type; } catch { return null; }\n"
        "});\n"
        "console.log(JSON.stringify(judged));\n",
        encoding="utf-8",
    )
    run = subprocess.run([node, "cases.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == ["complete", "complete", None, None, None, None, None]
