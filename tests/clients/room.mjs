// One person in a room, for tests: reads commands as JSON lines, prints what it hears as JSON lines.
import { createInterface } from "node:readline";
import { Hearth, HearthError } from "../../clients/typescript/hearth.js";

const [url, token, sessionId] = process.argv.slice(2);
const hearth = new Hearth(url, { token });
const print = (value) => console.log(JSON.stringify(value));

async function listen(room) {
  try {
    for await (const event of room) print(event);
    print({ type: "left" });
  } catch (error) {
    print({ type: "ended", code: error.code });
  }
}

async function ask(question) {
  let text = "";
  for await (const { event, data } of hearth.askStreaming(question)) {
    if (event === "token") text += data.delta;
    if (event === "done") print({ type: "answer", text, done: data });
  }
}

const room = hearth.room(sessionId);
const listening = listen(room);
for await (const line of createInterface({ input: process.stdin })) {
  const { say, add, question, leave, read } = JSON.parse(line);
  if (say) room.send(say).then((message) => print({ type: "kept", message }), (error) => print({ type: "refused", code: error.code }));
  if (add) print({ type: "added", document: await hearth.whenReady((await hearth.addDocument(add)).id) });
  if (question) await ask(question);
  if (read) {
    await hearth.request("GET", read).catch((error) => {
      print({ type: "failed", code: error.code, known: error instanceof HearthError });
    });
  }
  if (leave) break;
}
room.close();
await listening;
process.exit(0);
