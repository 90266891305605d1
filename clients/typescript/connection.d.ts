/** A WebSocket that comes back by itself, and tells every numbered event once and in order. */
export type RoomEvent = import("./types.d.ts").RoomEvent;
export type ProjectEvent = import("./types.d.ts").ProjectEvent;
export type MessageReceived = import("./types.d.ts").MessageReceived;
export type Welcome = import("./types.d.ts").Welcome;
/** The server ended the connection for good, or it was closed here. */
export declare class ConnectionEnded extends Error {
    code: number;
    /** @param {number} code as in the contract: 4401 not authenticated, 4403 not allowed, 4404 no such room … */
    constructor(code: number);
}
/** The server refused a command; the connection lives on. */
export declare class Refused extends Error {
    code: string;
    details: Record<string, unknown>;
    /** @param {string} code @param {string} message @param {Record<string, unknown>} details */
    constructor(code: string, message: string, details: Record<string, unknown>);
}
/**
 * What both kinds of channels share. Iterate over it to hear its events:
 * `for await (const event of room) …`. The loop ends when `close()` is called, and throws when the server ends it.
 *
 * @template {RoomEvent | ProjectEvent} E
 */
export declare class Channel<E extends RoomEvent | ProjectEvent> {
    _address: (afterSeq: number | null) => Promise<string>;
    _catchUp: ((afterSeq: number) => AsyncIterable<E>) | undefined;
    _WebSocket: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    };
    /** @type {number | null} the last number that was heard */
    lastSeq: number | null;
    /** @type {E[]} */
    _heard: E[];
    /** @type {Error | null} */
    _failure: Error | null;
    _closed: boolean;
    _pause: number;
    _wake: () => void;
    /** @type {WebSocket | null} */
    _socket: WebSocket | null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    _timer: ReturnType<typeof setTimeout> | undefined;
    _work: Promise<void>;
    /**
     * @param {(afterSeq: number | null) => Promise<string>} address of the WebSocket, with credentials
     * @param {{ afterSeq?: number, catchUp?: (afterSeq: number) => AsyncIterable<E>, WebSocket?: typeof WebSocket }} [options]
     *   `afterSeq`: the last number seen in an earlier life; `catchUp` reads what the event log does not hold any more.
     */
    constructor(address: (afterSeq: number | null) => Promise<string>, options?: {
        afterSeq?: number;
        catchUp?: (afterSeq: number) => AsyncIterable<E>;
        WebSocket?: typeof WebSocket;
    });
    /** @returns {AsyncGenerator<E, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<E, void, void>;
    /** Leave. What was heard before can still be read. */
    close(): void;
    /** @param {object} command @returns {boolean} whether there was a connection to send it on */
    _tell(command: object): boolean;
    /** Called with each welcome; what was on its way when the connection was lost is sent again here. */
    _onWelcome(): void;
    /** @param {E} _event */
    _onEvent(_event: E): void;
    _connect(): Promise<void>;
    /** @param {WebSocket} socket @param {any} event */
    _receive(socket: WebSocket, event: any): Promise<void>;
    /** @param {Welcome} welcome */
    _begin(welcome: Welcome): Promise<void>;
    /** @param {E} event */
    _hear(event: E): void;
    /** Nothing heard for a while: ask; nothing then either: the line is dead. */
    _watch(): void;
    /** @param {number} code */
    _lost(code: number): void;
    _comeBack(): void;
    /** @param {Error | null} failure */
    _end(failure: Error | null): void;
}
/**
 * A room. Whoever is connected is in it.
 *
 * @extends {Channel<RoomEvent>}
 */
export declare class Room extends Channel<RoomEvent> {
    /** @type {Map<string, { command: object, resolve: (message: MessageReceived) => void, reject: (error: Error) => void }>} */
    _unheard: Map<string, {
        command: object;
        resolve: (message: MessageReceived) => void;
        reject: (error: Error) => void;
    }>;
    /** @param {ConstructorParameters<typeof Channel<RoomEvent>>} given */
    constructor(...given: ConstructorParameters<typeof Channel<RoomEvent>>);
    /**
     * Say something. Resolves once the message is kept, also when the connection was lost on the way: it is sent again
     * under the same `client_id`, which makes no second message.
     *
     * @param {string} text
     * @param {object} [fields] further fields of `send_message`
     * @returns {Promise<MessageReceived>}
     */
    send(text: string, fields?: object): Promise<MessageReceived>;
    typing(): void;
    /** End the spirit's answer where it is. */
    stop(): void;
    /** @param {object} command any other command of the protocol @returns {boolean} */
    tell(command: object): boolean;
    _onWelcome(): void;
    /** @param {RoomEvent} event */
    _onEvent(event: RoomEvent): void;
    /** @param {Error | null} failure */
    _end(failure: Error | null): void;
}
/**
 * A project's tasks.
 *
 * @extends {Channel<ProjectEvent>}
 */
export declare class ProjectFeed extends Channel<ProjectEvent> {
    /**
     * Start a task; its `task_started` and all that follows is heard here.
     *
     * @param {string} task_type
     * @param {Record<string, unknown>} [params]
     * @param {"draft" | "standard" | "high" | "ultra"} [quality]
     */
    start(task_type: string, params?: Record<string, unknown>, quality?: "draft" | "standard" | "high" | "ultra"): boolean;
    /** @param {string} task_id */
    cancel(task_id: string): boolean;
    /**
     * Try a task again that has failed or was cancelled.
     *
     * @param {string} task_id
     */
    retry(task_id: string): boolean;
}
