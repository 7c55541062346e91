import { readSync, writeSync } from "node:fs";
import { failureFrom, StorageFailure, type RpcError } from "./failure.js";
import { startFifoProcess, type FifoProcess } from "./fifo-process.js";
import { LineDecoder } from "./lines.js";
import { watchOutput } from "./output-watch.js";
import { watch, type Watch } from "./watchdog.js";

// Fake timers of tests replace the globals; the ones of load time are the real ones.
const { setImmediate, setTimeout, queueMicrotask, performance } = globalThis;

/** How a synchronous connection starts its server. */
export interface SyncConnectionOptions {
  program: string;
  args: string[];
  /** The longest wait for an answer, in milliseconds. */
  timeout: number;
  /** Blocks in the kernel for answers, which is the fastest way for many single calls. */
  blocking: boolean;
}

/** A call that changes an area and whose answer nobody waits for. */
export interface Posted {
  /** Called when the server refused it. */
  refused(failure: StorageFailure): void;
}

/** A notification of the server. */
export interface Notification {
  method: string;
  params: unknown;
}

// Posted calls are sent at the end of the current microtask, or earlier in groups of this many, so
// that a program that is killed loses at most the writes of one group.
const GROUP = 64;
// A program that writes faster than the server reads gets this far ahead of it, in UTF-16 units.
const BACKLOG = 16 * 1024 * 1024;
const CHUNK = 32 * 1024;
// A line of at most this many units fits into the buffer that is kept for calls.
const SHORT = 16 * 1024;
const ACKNOWLEDGED = '"result":null}';

const waiting = new Int32Array(new SharedArrayBuffer(4));
/** Sleeps for a moment that grows with the number of vain attempts: 10 µs to 1 ms. */
function pause(attempt: number): void {
  Atomics.wait(waiting, 0, 0, Math.min(1, 0.01 * 1.2 ** Math.min(attempt, 40)));
}

/**
 * One connection to one server for callers that cannot wait for a promise. Calls block; posted calls
 * are written behind, in order, and an answer for each is still accounted for. What the server says by
 * itself is handed out between tasks, never in the middle of a script.
 */
export class SyncConnection {
  readonly #process: FifoProcess;
  readonly #timeout: number;
  readonly #watch: Watch | undefined;
  readonly #decoder = new LineDecoder();
  readonly #buffer = Buffer.allocUnsafe(64 * 1024);
  readonly #outgoing = Buffer.allocUnsafe(3 * SHORT);
  readonly #stopWatching: () => void;
  readonly #unanswered: Posted[] = [];
  #firstUnanswered = 0;
  /** Lines to be sent; those before `#sent` are on their way. `#owners` has the owners of posted ones. */
  #backlog: string[] = [];
  #owners: Posted[] = [];
  #sent = 0;
  #backlogUnits = 0;
  /** What the FIFO had no room for yet. */
  #unwritten: Buffer | undefined;
  #full = false;
  #scheduled = false;
  #nextId = 1;
  #reply: { result?: unknown; error?: RpcError } | undefined;
  #awaited = 0;
  /** How the line begins that has the result of the awaited call. */
  #success = "";
  #inCall = false;
  #notifications: Notification[] = [];
  #dead: StorageFailure | undefined;

  /** Called for every notification, each time in a task of its own script's making. */
  onnotification: ((notification: Notification) => void) | undefined;
  /** Called once when the server is gone although nobody closed the connection. */
  ondeath: ((failure: StorageFailure) => void) | undefined;

  constructor(options: SyncConnectionOptions) {
    this.#process = startFifoProcess(options.program, options.args);
    this.#timeout = options.timeout;
    this.#watch = options.blocking ? watch(this.#process.child.pid as number, options.timeout) : undefined;
    this.#stopWatching = watchOutput(this.#process.output, {
      receive: (bytes) => {
        this.#receive(bytes);
        this.#deliver();
        this.#pump();
      },
      end: () => this.#die(),
    });
  }

  /** The number of posted calls that were not answered yet. */
  get pending(): number {
    return this.#unanswered.length - this.#firstUnanswered + this.#owners.length - Math.min(this.#sent, this.#owners.length);
  }

  /** The process id of the server. */
  get pid(): number {
    return this.#process.child.pid as number;
  }

  get alive(): boolean {
    return this.#dead === undefined;
  }

  /** Sends a call and blocks until its result is there, or throws its error. */
  call(method: string, params: unknown): unknown {
    return this.callWith(method, JSON.stringify(params));
  }

  /** The same with params that are JSON text already. */
  callWith(method: string, params: string): unknown {
    this.#assertAlive();
    const id = this.#nextId++;
    const line = `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}\n`;
    this.#success = `{"jsonrpc":"2.0","id":${id},"result":`;
    this.#inCall = true;
    this.#awaited = id;
    this.#reply = undefined;
    try {
      this.#enqueue(line);
      this.#writeAll();
      while (this.#reply === undefined) this.#readSome();
    } finally {
      this.#inCall = false;
      if (this.#notifications.length > 0) setImmediate(() => this.#deliver());
    }
    const reply = this.#reply as { result?: unknown; error?: RpcError };
    if (reply.error !== undefined) throw failureFrom(reply.error);
    return reply.result;
  }

  /** Sends a call whose result is null, without waiting. `params` is JSON text. */
  post(method: string, params: string, owner: Posted): void {
    if (this.#dead !== undefined) throw this.#dead;
    const line = `{"jsonrpc":"2.0","id":${this.#nextId++},"method":"${method}","params":${params}}\n`;
    this.#backlog.push(line);
    this.#owners.push(owner);
    this.#backlogUnits += line.length;
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#pump();
      });
    }
    if (this.#backlog.length - this.#sent >= GROUP && !this.#full) this.#pump();
    else if (this.#backlogUnits > BACKLOG) this.#writeAll();
  }

  /** Blocks until every posted call has been answered. */
  flush(): void {
    if (this.pending === 0) return;
    this.#assertAlive();
    this.#inCall = true;
    try {
      this.#writeAll();
      while (this.pending > 0) this.#readSome();
    } finally {
      this.#inCall = false;
      if (this.#notifications.length > 0) setImmediate(() => this.#deliver());
    }
  }

  /** Ends the connection: everything posted is answered first, then the server's input ends. */
  close(): void {
    if (this.#dead !== undefined) return;
    try {
      this.flush();
    } finally {
      this.#end(new StorageFailure("InvalidStateError", "This storage was closed. Nothing was stored. Create a new one."));
    }
  }

  #assertAlive(): void {
    if (this.#dead !== undefined) throw this.#dead;
  }

  #end(reason: StorageFailure): void {
    if (this.#dead !== undefined) return;
    this.#dead = reason;
    this.#watch?.end();
    this.#process.close();
    this.#stopWatching();
  }

  #die(): StorageFailure {
    if (this.#dead !== undefined) return this.#dead;
    const silent = this.#watch?.fired === true;
    const complaint = this.#process.complaint();
    const unconfirmed = this.pending;
    const failure = new StorageFailure(
      silent ? "TimeoutError" : "UnknownError",
      (silent ? `The storage server gave no answer for ${this.#timeout} ms and was ended.` : "The storage server ended unexpectedly.") +
        (complaint === "" ? "" : ` It said: ${complaint}`) +
        (unconfirmed === 0 ? " Every earlier change was confirmed." : ` The last ${unconfirmed} changes were not confirmed and may be lost.`) +
        " Create a new storage to go on.",
    );
    this.#end(failure);
    this.ondeath?.(failure);
    return failure;
  }

  /** Kills a server that does not answer, so that nothing is left running. */
  #giveUp(): never {
    const unconfirmed = this.pending;
    const failure = new StorageFailure(
      "TimeoutError",
      `The storage server gave no answer for ${this.#timeout} ms and was ended.` +
        (unconfirmed === 0 ? "" : ` The last ${unconfirmed} changes were not confirmed and may be lost.`) +
        " Create a new storage to go on.",
    );
    this.#process.child.kill("SIGKILL");
    this.#end(failure);
    this.ondeath?.(failure);
    throw failure;
  }

  /** Moves the backlog towards the server as far as the FIFO has room. */
  #pump(): void {
    if (this.#dead !== undefined) return;
    this.#full = false;
    while (this.#unwritten !== undefined || this.#sent < this.#backlog.length) {
      this.#unwritten ??= this.#nextChunk();
      let moved: boolean;
      try {
        moved = this.#writeSome();
      } catch {
        // The death was reported to `ondeath`, and no caller is waiting here.
        return;
      }
      if (!moved) {
        this.#full = true;
        // Answers restart the pump; while a single large message is on its way there are none.
        if (this.#firstUnanswered === this.#unanswered.length) setTimeout(() => this.#pump(), 1).unref();
        return;
      }
    }
  }

  /** Puts the line of a call behind the posted ones; where there are none it goes by the shortest way. */
  #enqueue(line: string): void {
    if (line.length > SHORT || this.#unwritten !== undefined || this.#backlog.length > 0) {
      this.#backlog.push(line);
      this.#backlogUnits += line.length;
      return;
    }
    this.#unwritten = this.#outgoing.subarray(0, this.#outgoing.write(line));
    this.#writeSome();
  }

  /** Takes the next lines of the backlog. A call that is waited for is the last line and has no owner. */
  #nextChunk(): Buffer {
    const start = this.#sent;
    let units = 0;
    while (this.#sent < this.#backlog.length && units < CHUNK) units += this.#backlog[this.#sent++].length;
    const text = this.#sent === start + 1 ? this.#backlog[start] : this.#backlog.slice(start, this.#sent).join("");
    for (let line = start; line < this.#sent && line < this.#owners.length; line++) this.#unanswered.push(this.#owners[line]);
    this.#backlogUnits -= units;
    if (this.#sent === this.#backlog.length) {
      this.#backlog = [];
      this.#owners = [];
      this.#sent = 0;
    } else if (this.#sent > 10_000 && this.#sent > this.#backlog.length / 2) {
      this.#backlog.splice(0, this.#sent);
      this.#owners.splice(0, this.#sent);
      this.#sent = 0;
    }
    return Buffer.from(text, "utf8");
  }

  /** Writes what is unwritten; false when the FIFO is full. */
  #writeSome(): boolean {
    const chunk = this.#unwritten as Buffer;
    try {
      const written = writeSync(this.#process.input, chunk);
      this.#unwritten = written === chunk.length ? undefined : chunk.subarray(written);
      return written > 0;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return false;
      this.#readRest();
      throw this.#die();
    }
  }

  #writeAll(): void {
    let attempt = 0;
    let since = 0;
    while (this.#unwritten !== undefined || this.#sent < this.#backlog.length) {
      this.#unwritten ??= this.#nextChunk();
      if (this.#writeSome()) {
        attempt = 0;
        continue;
      }
      // The server stops reading while its answers are not read, so they have to be.
      if (this.#readAvailable()) attempt = 0;
      else pause(attempt);
      if (attempt++ === 0) since = performance.now();
      else if (performance.now() - since > this.#timeout) this.#giveUp();
    }
  }

  /** Reads what is there without waiting; false when there is nothing. */
  #readAvailable(): boolean {
    let length: number;
    try {
      length = readSync(this.#process.output, this.#buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
      throw this.#die();
    }
    if (length === 0) throw this.#die();
    this.#receive(this.#buffer.subarray(0, length));
    return true;
  }

  /** Takes in what a dying server still answered. */
  #readRest(): void {
    try {
      for (let length = 1; length > 0; ) {
        length = readSync(this.#process.output, this.#buffer);
        if (length > 0) this.#receive(this.#buffer.subarray(0, length));
      }
    } catch {
      // Nothing more can be read, and the caller reports the death.
    }
  }

  #readSome(): void {
    if (this.#watch === undefined) {
      let attempt = 0;
      const since = performance.now();
      while (!this.#readAvailable()) {
        pause(attempt++);
        if (performance.now() - since > this.#timeout) this.#giveUp();
      }
      return;
    }
    this.#watch.enter();
    let length = 0;
    try {
      length = readSync(this.#process.blockingOutput, this.#buffer);
    } finally {
      this.#watch.leave();
    }
    if (length === 0) throw this.#die();
    this.#receive(this.#buffer.subarray(0, length));
  }

  #receive(bytes: Buffer): void {
    for (const line of this.#decoder.push(bytes)) {
      if (line.endsWith(ACKNOWLEDGED) && this.#firstUnanswered < this.#unanswered.length && !line.includes('"method"')) {
        this.#acknowledge();
      } else if (this.#inCall && line.startsWith(this.#success)) {
        // The server writes `result` last, so the rest of the line is its value and a brace.
        this.#reply = { result: JSON.parse(line.slice(this.#success.length, -1)) as unknown };
      } else {
        this.#take(line);
      }
    }
  }

  #acknowledge(): Posted {
    const owner = this.#unanswered[this.#firstUnanswered++];
    if (this.#firstUnanswered === this.#unanswered.length) {
      this.#unanswered.length = this.#firstUnanswered = 0;
    } else if (this.#firstUnanswered > 10_000) {
      this.#unanswered.splice(0, this.#firstUnanswered);
      this.#firstUnanswered = 0;
    }
    return owner;
  }

  #take(line: string): void {
    const message = JSON.parse(line) as { id?: number; method?: string; params?: unknown; result?: unknown; error?: RpcError };
    if (message.method !== undefined) {
      this.#notifications.push({ method: message.method, params: message.params });
    } else if (this.#inCall && message.id === this.#awaited) {
      this.#reply = message;
    } else if (this.#firstUnanswered < this.#unanswered.length) {
      const owner = this.#acknowledge();
      if (message.error !== undefined) owner.refused(failureFrom(message.error));
    }
  }

  #deliver(): void {
    const notifications = this.#notifications;
    this.#notifications = [];
    for (const notification of notifications) this.onnotification?.(notification);
  }
}
