/** A client for Hearth, for browsers and Node, without dependencies. */
import { ConnectionEnded, ProjectFeed, Refused, Room } from "./connection.js";
export { ConnectionEnded, ProjectFeed, Refused, Room };
export type DocumentRead = import("./types.d.ts").DocumentRead;
export type MessageReceived = import("./types.d.ts").MessageReceived;
export type QueryResult = import("./types.d.ts").QueryResult;
export type SearchResult = import("./types.d.ts").SearchResult;
export type SessionRead = import("./types.d.ts").SessionRead;
export type AnswerEvent = {
    event: "retrieved";
    data: {
        id: string;
        items: object[];
    };
} | {
    event: "token";
    data: {
        delta: string;
    };
} | {
    event: "citations";
    data: Pick<QueryResult, "citations" | "sentences">;
} | {
    event: "done";
    data: QueryResult;
};
/** The server refused: `code` is one of the contract's error codes, `status` the HTTP status. */
export declare class HearthError extends Error {
    status: number;
    /** @type {string} */
    code: string;
    /** @type {Record<string, unknown>} */
    details: Record<string, unknown>;
    /** @type {string | undefined} */
    requestId: string | undefined;
    /** @param {number} status @param {any} body */
    constructor(status: number, body: any);
}
export declare class Hearth {
    url: string;
    _fetch: typeof fetch;
    _WebSocket: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    /** @type {Promise<string> | undefined} */
    _csrfToken: Promise<string> | undefined;
    /** @type {Record<string, string>} */
    _headers: Record<string, string>;
    /**
     * @param {string} url of the server, without `/api/v1`
     * @param {{ token?: string, apiKey?: string, fetch?: typeof fetch, WebSocket?: typeof WebSocket }} [options]
     *   `token` from a log-in or an invite, or `apiKey`; with neither the browser's cookies are used.
     */
    constructor(url: string, options?: {
        token?: string;
        apiKey?: string;
        fetch?: typeof fetch;
        WebSocket?: typeof WebSocket;
    });
    /**
     * @param {string} url
     * @param {string} email
     * @param {string} password
     * @param {{ fetch?: typeof fetch, WebSocket?: typeof WebSocket }} [options]
     */
    static login(url: string, email: string, password: string, options?: {
        fetch?: typeof fetch;
        WebSocket?: typeof WebSocket;
    }): Promise<Hearth>;
    /**
     * Any route of `/api/v1`, as `/docs` describes it.
     *
     * @param {string} method
     * @param {string} path behind `/api/v1`
     * @param {{ json?: unknown, query?: Record<string, string | number>, body?: BodyInit }} [given]
     * @returns {Promise<any>} the JSON of the answer
     * @throws {HearthError}
     */
    request(method: string, path: string, given?: {
        json?: unknown;
        query?: Record<string, string | number>;
        body?: BodyInit;
    }): Promise<any>;
    /**
     * Add a file or a text; it can be found once it is `ready`.
     *
     * @param {Blob | string} content
     * @param {{ filename?: string, title?: string, projectId?: string }} [about]
     * @returns {Promise<DocumentRead>}
     */
    addDocument(content: Blob | string, about?: {
        filename?: string;
        title?: string;
        projectId?: string;
    }): Promise<DocumentRead>;
    /**
     * Wait until a document is `ready`, or throw why it `failed`.
     *
     * @param {string} documentId
     * @returns {Promise<DocumentRead>}
     */
    whenReady(documentId: string): Promise<DocumentRead>;
    /** @param {string} query @param {object} [fields] @returns {Promise<SearchResult>} */
    search(query: string, fields?: object): Promise<SearchResult>;
    /** @param {string} question @param {object} [fields] @returns {Promise<QueryResult>} */
    ask(question: string, fields?: object): Promise<QueryResult>;
    /**
     * The same in pieces. A stream that breaks off goes on where it was; leaving the loop stops listening.
     *
     * @param {string} question
     * @param {object} [fields]
     * @returns {AsyncGenerator<AnswerEvent, void, void>}
     */
    askStreaming(question: string, fields?: object): AsyncGenerator<AnswerEvent, void, void>;
    /** @param {object} fields `name`, `project_id`, `spirit_mode` … @returns {Promise<SessionRead>} */
    createRoom(fields: object): Promise<SessionRead>;
    /**
     * Be in a room.
     *
     * @param {string} sessionId
     * @param {{ afterSeq?: number }} [options]
     */
    room(sessionId: string, options?: {
        afterSeq?: number;
    }): Room;
    /**
     * Follow a project's tasks.
     *
     * @param {string} projectId
     * @param {{ afterSeq?: number }} [options]
     */
    project(projectId: string, options?: {
        afterSeq?: number;
    }): ProjectFeed;
    get _usesCookies(): boolean;
    /** What proves that a page of ours asks; empty where nobody has signed in yet. */
    _readCsrfToken(): Promise<string>;
    /** @param {string} channel @param {number | null} afterSeq */
    _address(channel: string, afterSeq: number | null): Promise<string>;
    /** @param {string} sessionId @param {number} afterSeq @returns {AsyncGenerator<MessageReceived, void, void>} */
    _history(sessionId: string, afterSeq: number): AsyncGenerator<MessageReceived, void, void>;
    /**
     * @param {string} method
     * @param {string} path
     * @param {{ json?: unknown, query?: Record<string, string | number>, body?: BodyInit }} given
     * @param {Record<string, string>} [headers]
     */
    _ask(method: string, path: string, given: {
        json?: unknown;
        query?: Record<string, string | number>;
        body?: BodyInit;
    }, headers?: Record<string, string>): Promise<Response>;
}
