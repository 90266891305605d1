// @ts-check
/** A WebSocket that comes back by itself, and tells every numbered event once and in order. */

/** @typedef {import("./types.d.ts").RoomEvent} RoomEvent */
/** @typedef {import("./types.d.ts").ProjectEvent} ProjectEvent */
/** @typedef {import("./types.d.ts").MessageReceived} MessageReceived */
/** @typedef {import("./types.d.ts").Welcome} Welcome */

const FINAL_CODES = new Set([4400, 4401, 4403, 4404, 4409]);
const FIRST_PAUSE = 250; // milliseconds before the first attempt to come back
const LONGEST_PAUSE = 15_000;
const PING_INTERVAL = 20_000;
const PONG_PATIENCE = 10_000;

/** The server ended the connection for good, or it was closed here. */
export class ConnectionEnded extends Error {
  /** @param {number} code as in the contract: 4401 not authenticated, 4403 not allowed, 4404 no such room … */
  constructor(code) {
    super(`The connection ended with ${code}.`);
    this.name = "ConnectionEnded";
    this.code = code;
  }
}

/** The server refused a command; the connection lives on. */
export class Refused extends Error {
  /** @param {string} code @param {string} message @param {Record<string, unknown>} details */
  constructor(code, message, details) {
    super(message);
    this.name = "Refused";
    this.code = code;
    this.details = details;
  }
}

/**
 * What both kinds of channels share. Iterate over it to hear its events:
 * `for await (const event of room) …`. The loop ends when `close()` is called, and throws when the server ends it.
 *
 * @template {RoomEvent | ProjectEvent} E
 */
export class Channel {
  /**
   * @param {(afterSeq: number | null) => Promise<string>} address of the WebSocket, with credentials
   * @param {{ afterSeq?: number, catchUp?: (afterSeq: number) => AsyncIterable<E>, WebSocket?: typeof WebSocket }} [options]
   *   `afterSeq`: the last number seen in an earlier life; `catchUp` reads what the event log does not hold any more.
   */
  constructor(address, options = {}) {
    this._address = address;
    this._catchUp = options.catchUp;
    this._WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this._WebSocket) throw new Error("There is no WebSocket here: hand one in as `WebSocket`.");
    /** @type {number | null} the last number that was heard */
    this.lastSeq = options.afterSeq ?? null;
    /** @type {E[]} */
    this._heard = [];
    /** @type {Error | null} */
    this._failure = null;
    this._closed = false;
    this._pause = FIRST_PAUSE;
    this._wake = () => {};
    /** @type {WebSocket | null} */
    this._socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._work = Promise.resolve();
    this._connect();
  }

  /** @returns {AsyncGenerator<E, void, void>} */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      const event = this._heard.shift();
      if (event) {
        yield event;
      } else if (this._failure) {
        throw this._failure;
      } else if (this._closed) {
        return;
      } else {
        await new Promise((resolve) => (this._wake = () => resolve(undefined)));
      }
    }
  }

  /** Leave. What was heard before can still be read. */
  close() {
    this._end(null);
    this._socket?.close(1000);
  }

  /** @param {object} command @returns {boolean} whether there was a connection to send it on */
  _tell(command) {
    if (this._socket?.readyState !== 1) return false;
    this._socket.send(JSON.stringify(command));
    return true;
  }

  /** Called with each welcome; what was on its way when the connection was lost is sent again here. */
  _onWelcome() {}

  /** @param {E} _event */
  _onEvent(_event) {}

  async _connect() {
    try {
      const socket = new this._WebSocket(await this._address(this.lastSeq));
      if (this._closed) return socket.close(1000);
      this._socket = socket;
      socket.onmessage = ({ data }) => {
        this._work = this._work.then(() => this._receive(socket, JSON.parse(String(data)))).catch(() => this._lost(1006));
      };
      socket.onclose = ({ code }) => this._lost(code);
      this._watch();
    } catch (error) {
      const status = /** @type {{ status?: number }} */ (error).status ?? 0;
      if (status >= 400 && status < 500 && status !== 408 && status !== 429) this._end(/** @type {Error} */ (error));
      else this._comeBack();
    }
  }

  /** @param {WebSocket} socket @param {any} event */
  async _receive(socket, event) {
    if (socket !== this._socket) return; // of a connection that was given up: it comes again
    this._watch();
    if (event.type === "pong") return;
    if (event.type === "welcome") await this._begin(event);
    if (typeof event.seq === "number") {
      if (this.lastSeq !== null && event.seq <= this.lastSeq) return; // it came twice
      this.lastSeq = event.seq;
    }
    this._hear(event);
    if (event.type === "welcome") this._onWelcome();
  }

  /** @param {Welcome} welcome */
  async _begin(welcome) {
    this._pause = FIRST_PAUSE;
    if (this.lastSeq === null) {
      this.lastSeq = welcome.last_seq;
    } else if (!welcome.recovered && this._catchUp) {
      for await (const event of this._catchUp(this.lastSeq)) {
        const seq = /** @type {{ seq?: number }} */ (event).seq ?? 0;
        if (seq <= this.lastSeq) continue;
        this.lastSeq = seq;
        this._hear(event);
      }
    }
  }

  /** @param {E} event */
  _hear(event) {
    this._heard.push(event);
    this._onEvent(event);
    this._wake();
  }

  /** Nothing heard for a while: ask; nothing then either: the line is dead. */
  _watch() {
    clearTimeout(this._timer);
    if (this._closed) return;
    this._timer = setTimeout(() => {
      this._tell({ type: "ping" });
      this._timer = setTimeout(() => this._lost(1006), PONG_PATIENCE);
    }, PING_INTERVAL);
  }

  /** @param {number} code */
  _lost(code) {
    clearTimeout(this._timer);
    if (this._socket) {
      this._socket.onmessage = this._socket.onclose = null;
      this._socket.close();
      this._socket = null;
    }
    if (this._closed) return;
    if (FINAL_CODES.has(code)) this._end(new ConnectionEnded(code));
    else this._comeBack();
  }

  _comeBack() {
    if (this._closed) return;
    this._timer = setTimeout(() => this._connect(), this._pause * (0.5 + Math.random() / 2));
    this._pause = Math.min(this._pause * 2, LONGEST_PAUSE);
  }

  /** @param {Error | null} failure */
  _end(failure) {
    clearTimeout(this._timer);
    this._failure ??= this._closed ? null : failure;
    this._closed = true;
    this._wake();
  }
}

/**
 * A room. Whoever is connected is in it.
 *
 * @extends {Channel<RoomEvent>}
 */
export class Room extends Channel {
  /** @param {ConstructorParameters<typeof Channel<RoomEvent>>} given */
  constructor(...given) {
    super(...given);
    /** @type {Map<string, { command: object, resolve: (message: MessageReceived) => void, reject: (error: Error) => void }>} */
    this._unheard = new Map();
  }

  /**
   * Say something. Resolves once the message is kept, also when the connection was lost on the way: it is sent again
   * under the same `client_id`, which makes no second message.
   *
   * @param {string} text
   * @param {object} [fields] further fields of `send_message`
   * @returns {Promise<MessageReceived>}
   */
  send(text, fields = {}) {
    if (this._closed) return Promise.reject(this._failure ?? new ConnectionEnded(1000));
    const client_id = crypto.randomUUID();
    const command = { type: "send_message", text, client_id, ...fields };
    return new Promise((resolve, reject) => {
      this._unheard.set(client_id, { command, resolve, reject });
      this._tell(command);
    });
  }

  typing() {
    this._tell({ type: "typing" });
  }

  /** End the spirit's answer where it is. */
  stop() {
    this._tell({ type: "stop" });
  }

  /** @param {object} command any other command of the protocol @returns {boolean} */
  tell(command) {
    return this._tell(command);
  }

  _onWelcome() {
    for (const { command } of this._unheard.values()) this._tell(command);
  }

  /** @param {RoomEvent} event */
  _onEvent(event) {
    if (event.type === "message_received" && event.client_id) {
      this._unheard.get(event.client_id)?.resolve(event);
      this._unheard.delete(event.client_id);
    } else if (event.type === "error" && typeof event.details.client_id === "string") {
      this._unheard.get(event.details.client_id)?.reject(new Refused(event.error_code, event.message, event.details));
      this._unheard.delete(event.details.client_id);
    }
  }

  /** @param {Error | null} failure */
  _end(failure) {
    super._end(failure);
    for (const { reject } of this._unheard.values()) reject(failure ?? new ConnectionEnded(1000));
    this._unheard.clear();
  }
}

/**
 * A project's tasks.
 *
 * @extends {Channel<ProjectEvent>}
 */
export class ProjectFeed extends Channel {
  /**
   * Start a task; its `task_started` and all that follows is heard here.
   *
   * @param {string} task_type
   * @param {Record<string, unknown>} [params]
   * @param {"draft" | "standard" | "high" | "ultra"} [quality]
   */
  start(task_type, params = {}, quality = "standard") {
    return this._tell({ type: "start_generation", task_type, params, quality });
  }

  /** @param {string} task_id */
  cancel(task_id) {
    return this._tell({ type: "cancel_task", task_id });
  }

  /**
   * Try a task again that has failed or was cancelled.
   *
   * @param {string} task_id
   */
  retry(task_id) {
    return this._tell({ type: "retry_task", task_id });
  }
}
