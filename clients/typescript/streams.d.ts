/** Server-Sent Events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them. */
export type ServerSentEvent = {
    event: string;
    data: string;
    id: string;
};
/** @typedef {{ event: string, data: string, id: string }} ServerSentEvent */
/**
 * The events of a response's body. Comments are passed over.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
export declare function readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent, void, void>;
