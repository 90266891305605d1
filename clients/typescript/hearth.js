// @ts-check
/** A client for Hearth, for browsers and Node, without dependencies. */

import { ConnectionEnded, ProjectFeed, Refused, Room } from "./connection.js";
import { readEvents } from "./streams.js";

export { ConnectionEnded, ProjectFeed, Refused, Room };

/** @typedef {import("./types.d.ts").DocumentRead} DocumentRead */
/** @typedef {import("./types.d.ts").MessageReceived} MessageReceived */
/** @typedef {import("./types.d.ts").QueryResult} QueryResult */
/** @typedef {import("./types.d.ts").SearchResult} SearchResult */
/** @typedef {import("./types.d.ts").SessionRead} SessionRead */
/**
 * @typedef {{ event: "retrieved", data: { id: string, items: object[] } } | { event: "token", data: { delta: string } }
 *   | { event: "citations", data: Pick<QueryResult, "citations" | "sentences"> } | { event: "done", data: QueryResult }} AnswerEvent
 */

const MOST_ATTEMPTS = 5; // to follow an answer whose stream breaks off
const PAUSE = 500; // milliseconds between them
const POLL_INTERVAL = 300;

/** The server refused: `code` is one of the contract's error codes, `status` the HTTP status. */
export class HearthError extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.error?.message ?? `HTTP ${status}`);
    this.name = "HearthError";
    this.status = status;
    /** @type {string} */
    this.code = body?.error?.code ?? "UNKNOWN";
    /** @type {Record<string, unknown>} */
    this.details = body?.error?.details ?? {};
    /** @type {string | undefined} */
    this.requestId = body?.request_id;
  }
}

export class Hearth {
  /**
   * @param {string} url of the server, without `/api/v1`
   * @param {{ token?: string, apiKey?: string, fetch?: typeof fetch, WebSocket?: typeof WebSocket }} [options]
   *   `token` from a log-in or an invite, or `apiKey`; with neither the browser's cookies are used.
   */
  constructor(url, options = {}) {
    this.url = url.replace(/\/+$/, "");
    this._fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this._WebSocket = options.WebSocket;
    /** @type {Promise<string> | undefined} */
    this._csrfToken = undefined;
    /** @type {Record<string, string>} */
    this._headers = options.token
      ? { Authorization: `Bearer ${options.token}` }
      : options.apiKey
        ? { "X-API-Key": options.apiKey }
        : {};
  }

  /**
   * @param {string} url
   * @param {string} email
   * @param {string} password
   * @param {{ fetch?: typeof fetch, WebSocket?: typeof WebSocket }} [options]
   */
  static async login(url, email, password, options = {}) {
    const body = new URLSearchParams({ username: email, password });
    const { access_token } = await new Hearth(url, options).request("POST", "/auth/login", { body });
    return new Hearth(url, { ...options, token: access_token });
  }

  /**
   * Any route of `/api/v1`, as `/docs` describes it.
   *
   * @param {string} method
   * @param {string} path behind `/api/v1`
   * @param {{ json?: unknown, query?: Record<string, string | number>, body?: BodyInit }} [given]
   * @returns {Promise<any>} the JSON of the answer
   * @throws {HearthError}
   */
  async request(method, path, given = {}) {
    const response = await this._ask(method, path, given);
    return response.status === 204 ? null : await response.json();
  }

  /**
   * Add a file or a text; it can be found once it is `ready`.
   *
   * @param {Blob | string} content
   * @param {{ filename?: string, title?: string, projectId?: string }} [about]
   * @returns {Promise<DocumentRead>}
   */
  async addDocument(content, about = {}) {
    const named = { ...(about.title && { title: about.title }), ...(about.projectId && { project_id: about.projectId }) };
    if (typeof content === "string") {
      const json = { text: content, title: about.title ?? "Text", ...named };
      return (await this.request("POST", "/documents", { json })).document;
    }
    const body = new FormData();
    body.append("file", content, about.filename ?? "file");
    for (const [name, value] of Object.entries(named)) body.append(name, value);
    return (await this.request("POST", "/documents", { body })).document;
  }

  /**
   * Wait until a document is `ready`, or throw why it `failed`.
   *
   * @param {string} documentId
   * @returns {Promise<DocumentRead>}
   */
  async whenReady(documentId) {
    for (;;) {
      /** @type {DocumentRead} */
      const document = await this.request("GET", `/documents/${documentId}`);
      if (document.status === "ready") return document;
      if (document.status === "failed") throw new HearthError(409, { error: document.error });
      await pause(POLL_INTERVAL);
    }
  }

  /** @param {string} query @param {object} [fields] @returns {Promise<SearchResult>} */
  search(query, fields = {}) {
    return this.request("POST", "/search", { json: { query, ...fields } });
  }

  /** @param {string} question @param {object} [fields] @returns {Promise<QueryResult>} */
  ask(question, fields = {}) {
    return this.request("POST", "/query", { json: { question, ...fields } });
  }

  /**
   * The same in pieces. A stream that breaks off goes on where it was; leaving the loop stops listening.
   *
   * @param {string} question
   * @param {object} [fields]
   * @returns {AsyncGenerator<AnswerEvent, void, void>}
   */
  async *askStreaming(question, fields = {}) {
    const given = { json: { question, ...fields, stream: true } };
    let lastId = "";
    for (let attempt = 1; ; attempt++) {
      try {
        const { body } = await this._ask("POST", "/query", given, lastId ? { "Last-Event-ID": lastId } : undefined);
        for await (const { event, data, id } of readEvents(/** @type {ReadableStream<Uint8Array>} */ (body))) {
          lastId = id || lastId;
          attempt = 1;
          const parsed = JSON.parse(data);
          if (event === "error") throw new HearthError(503, { error: parsed });
          yield /** @type {AnswerEvent} */ ({ event, data: parsed });
          if (event === "done") return;
        }
      } catch (error) {
        if (error instanceof HearthError || !lastId || attempt >= MOST_ATTEMPTS) throw error;
      }
      await pause(PAUSE * attempt);
    }
  }

  /** @param {object} fields `name`, `project_id`, `spirit_mode` … @returns {Promise<SessionRead>} */
  createRoom(fields) {
    return this.request("POST", "/sessions", { json: fields });
  }

  /**
   * Be in a room.
   *
   * @param {string} sessionId
   * @param {{ afterSeq?: number }} [options]
   */
  room(sessionId, options = {}) {
    return new Room((afterSeq) => this._address(`chat/${sessionId}`, afterSeq), {
      ...options,
      WebSocket: this._WebSocket,
      catchUp: (afterSeq) => this._history(sessionId, afterSeq),
    });
  }

  /**
   * Follow a project's tasks.
   *
   * @param {string} projectId
   * @param {{ afterSeq?: number }} [options]
   */
  project(projectId, options = {}) {
    return new ProjectFeed((afterSeq) => this._address(projectId, afterSeq), { ...options, WebSocket: this._WebSocket });
  }

  get _usesCookies() {
    return Object.keys(this._headers).length === 0;
  }

  /** What proves that a page of ours asks; empty where nobody has signed in yet. */
  _readCsrfToken() {
    this._csrfToken ??= this.request("GET", "/auth/session").then(
      ({ csrf_token }) => csrf_token,
      () => ((this._csrfToken = undefined), ""),
    );
    return this._csrfToken;
  }

  /** @param {string} channel @param {number | null} afterSeq */
  async _address(channel, afterSeq) {
    const query = new URLSearchParams(afterSeq === null ? {} : { after_seq: String(afterSeq) });
    if (!this._usesCookies) {
      query.set("ticket", (await this.request("POST", "/ws-tickets")).ticket); // browsers can send no headers there
    }
    return `${this.url.replace(/^http/, "ws")}/ws/${channel}?${query}`;
  }

  /** @param {string} sessionId @param {number} afterSeq @returns {AsyncGenerator<MessageReceived, void, void>} */
  async *_history(sessionId, afterSeq) {
    for (;;) {
      const query = { after_seq: afterSeq, limit: 100 };
      const { items } = await this.request("GET", `/chat/${sessionId}/messages`, { query });
      if (items.length === 0) return;
      for (const item of items) yield { type: "message_received", ...item };
      afterSeq = items.at(-1).seq;
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ json?: unknown, query?: Record<string, string | number>, body?: BodyInit }} given
   * @param {Record<string, string>} [headers]
   */
  async _ask(method, path, given, headers = {}) {
    const query = given.query ? `?${new URLSearchParams(Object.entries(given.query).map(([k, v]) => [k, String(v)]))}` : "";
    const isJson = given.json !== undefined;
    if (method !== "GET" && this._usesCookies) headers = { ...headers, "X-CSRF-Token": await this._readCsrfToken() };
    const response = await this._fetch(`${this.url}/api/v1${path}${query}`, {
      method,
      headers: { ...this._headers, ...(isJson && { "Content-Type": "application/json" }), ...headers },
      body: isJson ? JSON.stringify(given.json) : given.body,
      credentials: this._usesCookies ? "include" : "omit",
    });
    if (!response.ok) throw new HearthError(response.status, await response.json().catch(() => null));
    return response;
  }
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
