// @ts-check
/** Server-Sent Events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them. */

/** @typedef {{ event: string, data: string, id: string }} ServerSentEvent */

/**
 * The events of a response's body. Comments are passed over.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = blank();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line !== "") {
          addField(event, line);
        } else if (event.lines.length > 0) {
          yield { event: event.event, data: event.lines.join("\n"), id: event.id };
          event = { ...blank(), id: event.id };
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function blank() {
  return { event: "message", lines: /** @type {string[]} */ ([]), id: "" };
}

/**
 * @param {{ event: string, lines: string[], id: string }} event
 * @param {string} line
 */
function addField(event, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") event.lines.push(value);
  else if (name === "event") event.event = value;
  else if (name === "id") event.id = value;
}
