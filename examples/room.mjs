// Two people and the spirit in one room, with the client for JavaScript.
//   HEARTH_URL=http://127.0.0.1:8000 node examples/room.mjs EMAIL PASSWORD "a question about your documents"
// (Node before 22: node --experimental-websocket …)
import { Hearth } from "../clients/typescript/hearth.js";

const url = process.env.HEARTH_URL ?? "http://127.0.0.1:8000";
const [email, password, question] = process.argv.slice(2);

const ada = await Hearth.login(url, email, password);
const { id } = await ada.createRoom({ name: "Kitchen table", shares_documents: true }); // with the guest, too
const { invite } = await ada.request("POST", `/sessions/${id}/invites`);
const joined = await new Hearth(url).request("POST", "/sessions/join", { json: { invite, name: "Grace" } });
const grace = new Hearth(url, { token: joined.access_token });

const [hers, graces] = [ada.room(id), grace.room(id)];
const asked = await graces.send(question); // resolves once it is kept, through lost connections, too
for await (const event of hers) {
  if (event.type === "spirit_token") process.stdout.write(event.delta);
  if (event.type !== "message_received") continue;
  console.log(`\n${event.user_name}: ${event.text}`);
  for (const { marker, title, quote } of event.citations) console.log(`  [${marker}] ${title}: ${quote}`);
  if (event.in_reply_to === asked.id) break;
}
hers.close();
graces.close();
