"""Hearth through OpenAI's own client: put a file into a vector store, search it, ask about it.

python examples/ask_with_openai.py FILE "question"        (HEARTH_KEY is an API key with the scopes read and write)
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

file, question = Path(sys.argv[1]), sys.argv[2]
client = OpenAI(
    base_url=os.environ.get("HEARTH_URL", "http://127.0.0.1:8000") + "/v1", api_key=os.environ["HEARTH_KEY"]
)

store = client.vector_stores.create(name=file.stem)  # a project
uploaded = client.files.create(file=file, purpose="assistants")  # a document
reading = client.vector_stores.files.create_and_poll(uploaded.id, vector_store_id=store.id, poll_interval_ms=200)
if reading.status != "completed":
    sys.exit(f"{file.name} cannot be read: {reading.last_error and reading.last_error.message}")

for passage in client.vector_stores.search(store.id, query=question, max_num_results=2):
    print(f"{passage.score:.2f}  {passage.filename}: {passage.content[0].text[:80]!r}")

response = client.responses.create(model=f"hearth/{store.id}", input=question)
print(response.output_text)
for part in (part for item in response.output if item.type == "message" for part in item.content):
    for citation in part.annotations if part.type == "output_text" else ():
        if citation.type == "file_citation":
            print(f"  at {citation.index}: {citation.filename} ({citation.file_id})")

said = [{"role": "user", "content": question}]
for chunk in client.chat.completions.create(model="hearth", messages=said, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
