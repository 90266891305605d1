"""Hearth in a page of its own: put documents in, ask about them, talk in a room.

pip install streamlit httpx && HEARTH_URL=http://127.0.0.1:8000 streamlit run examples/streamlit_app.py
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import streamlit as st

URL = os.environ.get("HEARTH_URL", "http://127.0.0.1:8000")
UNDER_WAY = {"pending", "processing"}

state = st.session_state
st.set_page_config(page_title="Hearth")
st.title("Hearth")


def call(method: str, path: str, **given: Any) -> Any:
    """The JSON of a route; what is refused is shown, and ends this run of the page."""
    headers = {"Authorization": f"Bearer {state.token}"} if "token" in state else {}
    response = httpx.request(method, f"{URL}/api/v1{path}", headers=headers, timeout=60, **given)
    if response.is_error:
        if response.status_code == 401:
            state.pop("token", None)
        st.error(response.json()["error"]["message"])
        st.stop()
    return response.json()


def sign_in() -> None:
    with st.form("Sign in"):
        email, password = st.text_input("E-mail"), st.text_input("Password", type="password")
        if not st.form_submit_button("Sign in"):
            return
    state.token = call("POST", "/auth/login", data={"username": email, "password": password})["access_token"]
    st.rerun()


def add_documents() -> None:
    """Each file is uploaded once, and then its reading is watched."""
    added = state.setdefault("added", set())
    for file in st.file_uploader("Files", accept_multiple_files=True):
        if file.file_id in added:
            continue
        added.add(file.file_id)
        bar = st.progress(0.0, f"{file.name}: sent")
        told = call("POST", "/documents", files={"file": (file.name, file, file.type)})
        document, task = told["document"], told["task"]
        while document["status"] in UNDER_WAY:
            time.sleep(0.2)
            task = call("GET", f"/tasks/{task['id']}")
            bar.progress(task["progress"], f"{file.name}: {task['message'] or document['status']}")
            document = call("GET", f"/documents/{document['id']}")
        bar.progress(1.0, f"{file.name}: {document['status']}")
        if document["error"]:
            st.error(f"{file.name}: {document['error']['message']}")
    for document in call("GET", "/documents")["items"]:
        st.markdown(f"**{document['title']}** · {document['status']}, {document['chunk_count'] or 0} passages")


def told_of(question: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of an answer as they come: `retrieved`, `token` …, `citations`, `done`."""
    body, headers = {"question": question, "stream": True}, {"Authorization": f"Bearer {state.token}"}
    with httpx.stream("POST", f"{URL}/api/v1/query", json=body, headers=headers, timeout=60) as response:
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def ask() -> None:
    with st.form("Ask"):
        question = st.text_input("Question about your documents")
        if not st.form_submit_button("Ask") or not question:
            return
    shown, said = st.empty(), ""
    for name, data in told_of(question):
        if name == "token":
            said += data["delta"]
        elif name == "done":
            said = data["answer"]
            show_citations(data["citations"])
        elif name == "error":
            st.error(data["message"])
        shown.markdown(said)


def show_citations(citations: list[dict[str, Any]]) -> None:
    for one in citations:
        page = f", page {one['page']}" if one["page"] else ""
        with st.expander(f"[{one['marker']}] {one['title']}{page}"):
            st.text(one["quote"])


def talk() -> None:
    rooms = {room["id"]: room["name"] for room in call("GET", "/sessions")["items"]}
    with st.form("New room", clear_on_submit=True):
        name = st.text_input("Name of a new room")
        if st.form_submit_button("Open") and name:
            room = call("POST", "/sessions", json={"name": name})
            rooms = {room["id"]: name, **rooms}
    if rooms:
        room_id = st.selectbox("Room", list(rooms), format_func=rooms.get)
        with st.form("Say", clear_on_submit=True):
            text = st.text_input("Message")
            if st.form_submit_button("Say") and text:
                call("POST", f"/chat/{room_id}/messages", json={"text": text})
        follow(room_id)


@st.fragment(run_every=1.0)
def follow(room_id: str) -> None:
    """What is said, by people and the spirit; this part of the page looks for more each second."""
    heard = state.setdefault(f"heard-{room_id}", [])
    after = heard[-1]["seq"] if heard else 0
    heard += call("GET", f"/chat/{room_id}/messages", params={"after_seq": after, "limit": 100})["items"]
    for message in heard:
        with st.chat_message("assistant" if message["is_spirit"] else "user"):
            st.markdown(f"**{message['user_name']}** {message['text']}")
            for one in message["citations"]:
                st.caption(f"[{one['marker']}] {one['title']}: {one['quote']}")


if "token" not in state:
    sign_in()
    st.stop()
for tab, show in zip(st.tabs(["Documents", "Ask", "Room"]), (add_documents, ask, talk), strict=True):
    with tab:
        show()
