import { endOfChild } from "./end-of-child.js";
import { closedFailure, failureFrom, notAServer, StorageFailure, type RpcError } from "./failure.js";
import { startFifoProcess, type FifoProcess } from "./fifo-process.js";
import { LineDecoder, messageIn, noMessage } from "./lines.js";
import { watchOutput } from "./output-watch.js";
import { fromJson, now, queueMicrotask, readSync, setImmediate, setTimeout, toJson, writeSync } from "./runtime.js";
import { sleep } from "./sleep.js";
import { watch, type Watch } from "./watchdog.js";

/** How a synchronous connection starts its server. */
export interface SyncConnectionOptions {
  program: string;
  args: string[];
  /** The longest wait for an answer, in milliseconds. */
  timeout: number;
  /** Blocks in the kernel for answers, which is the fastest way for many single calls. */
  blocking: boolean;
}

/** Who posts calls. */
export interface Posted {
  /** How many calls may wait before they are sent in the middle of a microtask. */
  readonly group: number;
  /** Whether its calls are changes that somebody made, and not the end of an area's use. */
  readonly changes: boolean;
  /** Called when the server refused one. */
  refused(failure: StorageFailure): void;
}

/**
 * A call that changes an area and whose answer nobody waits for. It becomes text when it is sent, which
 * spares the work for a value that another one replaces before that.
 */
export class PostedCall {
  readonly owner: Posted;
  readonly method: string;
  readonly handle: number;
  readonly key: string | undefined;
  /** May be replaced as long as it is not final. */
  value: string | undefined;
  /** Set when the call is sent, or before that by who posted it. */
  final = false;

  constructor(owner: Posted, method: string, handle: number, key: string | undefined, value: string | undefined) {
    this.owner = owner;
    this.method = method;
    this.handle = handle;
    this.key = key;
    this.value = value;
  }

  /** The line of the call. */
  encode(id: number): string {
    const start = `{"jsonrpc":"2.0","id":${id},"method":"${this.method}","params":[${this.handle}`;
    if (this.key === undefined) return `${start}]}\n`;
    if (this.value === undefined) return `${start},${toJson(this.key)}]}\n`;
    return `${start},${toJson(this.key)},${toJson(this.value)}]}\n`;
  }
}

/** A notification of the server. */
export interface Notification {
  method: string;
  params: unknown;
}

// How many more calls are posted before a FIFO that was full is tried again. Each attempt may wake the
// server, which on a busy machine costs the script its processor for milliseconds; and this many events
// are few enough for the server to keep.
const RETRY = 2048;
// Sending takes about a microsecond for each call, in milliseconds. More than this means that the server
// has got the processor of the script, and groups of twice the size are sent from then on in this turn.
const SLOW = 0.004;
// A program that writes faster than the server reads gets this far ahead of it, in UTF-16 units, and is
// held back until some of it was sent.
const BACKLOG = 16 * 1024 * 1024;
const RELIEF = 1024 * 1024;
// What a call takes in the backlog beside its key and its value.
const CALL = 80;
const LONGER = 15;
const CHUNK = 32 * 1024;
// A text of at most this many units fits into the buffer that is kept for sending.
const SHORT = 48 * 1024;
// Deno's writeSync goes on until all is written, and throws when the FIFO is full without saying how much of it
// was. So few bytes go in whole or not at all: POSIX promises it of 512, Linux of 4096.
const AT_ONCE = !("Deno" in globalThis) ? Infinity : process.platform === "linux" ? 4096 : 512;
const ANSWER = '{"jsonrpc":"2.0","id":';
const NOTIFICATION = '{"jsonrpc":"2.0","method":';
const ACKNOWLEDGED = '"result":null}';
const QUOTE = 0x22;

/** The value of JSON text; most are strings without escapes, which need no parser. */
function valueOf(json: string): unknown {
  if (json.charCodeAt(0) === QUOTE && !json.includes("\\")) return json.slice(1, -1);
  return fromJson(json);
}

/** Sleeps for a moment that grows with the number of vain attempts: 10 µs to 1 ms. */
function pause(attempt: number): void {
  sleep(Math.min(1, 0.01 * 1.2 ** Math.min(attempt, 40)));
}

/**
 * One connection to one server for callers that cannot wait for a promise. Calls block; posted calls
 * are written behind, in order, and an answer for each is still accounted for. What the server says by
 * itself is handed out between tasks, never in the middle of a script.
 */
export class SyncConnection {
  readonly #program: string;
  readonly #process: FifoProcess;
  readonly #timeout: number;
  readonly #watch: Watch | undefined;
  readonly #decoder = new LineDecoder();
  readonly #buffer = Buffer.allocUnsafe(64 * 1024);
  readonly #outgoing = Buffer.allocUnsafe(3 * SHORT);
  readonly #stopWatching: () => void;
  readonly #unanswered: Posted[] = [];
  #firstUnanswered = 0;
  /** What is to be sent; all before `#sent` is on its way. Only the last may be a call that is waited for. */
  #backlog: (PostedCall | string)[] = [];
  #sent = 0;
  #backlogUnits = 0;
  /** How many calls are to wait before a FIFO that was full is tried again. */
  #due = 0;
  /** How many calls are to wait in this turn, because sending has cost too much. */
  #enough = 0;
  #round = 0;
  /** What the FIFO had no room for yet. */
  #unwritten: Buffer | undefined;
  #scheduled = false;
  #nextId = 1;
  #reply: { result?: unknown; error?: RpcError } | undefined;
  #awaited = 0;
  /** How the line begins that has the result of the awaited call. */
  #success = "";
  #inCall = false;
  /** Whether the program has ever spoken as a server does. */
  #spoken = false;
  #notifications: Notification[] = [];
  #delivered = 0;
  #dead: StorageFailure | undefined;

  /**
   * Called for the line of a notification as soon as it was read, perhaps in the middle of a script; `first`
   * says that no other waits before it. True means that it was taken in, which must not show.
   */
  onarrival: ((line: string, first: boolean) => boolean) | undefined;
  /** Called between tasks for every other notification. */
  onnotification: ((notification: Notification) => void) | undefined;
  /** Whether no change may wait for a later moment, because there may be none: to be heeded by who posts. */
  writesThrough = false;
  /** Called once when the server is gone although nobody closed the connection. */
  ondeath: ((failure: StorageFailure) => void) | undefined;

  constructor(options: SyncConnectionOptions) {
    this.#program = options.program;
    this.#process = startFifoProcess(options.program, options.args);
    this.#timeout = options.timeout;
    this.#watch = options.blocking ? watch(this.#process.child.pid as number, options.timeout) : undefined;
    this.#stopWatching = watchOutput(this.#process.output, {
      receive: (bytes) => {
        try {
          this.#receive(bytes);
        } catch (error) {
          // The death was reported to `ondeath`, and no caller is waiting here.
          if (error === this.#dead) return;
          throw error;
        }
        this.#deliver();
        this.#pump();
      },
      end: () => this.#die(),
    });
  }

  /** The number of posted changes that were not answered yet. */
  get pending(): number {
    let changes = 0;
    for (let n = this.#firstUnanswered; n < this.#unanswered.length; n++) if (this.#unanswered[n].changes) changes++;
    for (let n = this.#sent; n < this.#backlog.length; n++) {
      const call = this.#backlog[n];
      if (typeof call !== "string" && call.owner.changes) changes++;
    }
    return changes;
  }

  /** The number of posted calls that were not answered yet. */
  get #outstanding(): number {
    const unsent = this.#backlog.length - this.#sent - (typeof this.#backlog.at(-1) === "string" ? 1 : 0);
    return this.#unanswered.length - this.#firstUnanswered + unsent;
  }

  /** Another number each time that nothing was left to be sent. */
  get round(): number {
    return this.#round;
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
    return this.callWith(method, toJson(params));
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
      this.#deliverLater();
    }
    const reply = this.#reply as { result?: unknown; error?: RpcError };
    if (reply.error !== undefined) throw failureFrom(reply.error);
    return reply.result;
  }

  /** Sends a call whose result is null, without waiting. */
  post(owner: Posted, method: string, handle: number, key?: string, value?: string): PostedCall {
    if (this.#dead !== undefined) throw this.#dead;
    // Before the call is there, since its caller knows of it only afterwards and of its answer after that.
    if (this.#backlogUnits > BACKLOG) this.#writeAll(BACKLOG - RELIEF);
    else if (this.#backlog.length - this.#sent >= Math.max(owner.group, this.#due, this.#enough)) this.#exchange();
    const call = new PostedCall(owner, method, handle, key, value);
    this.#backlog.push(call);
    this.#backlogUnits += CALL + (key?.length ?? 0) + (value?.length ?? 0);
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#enough = 0;
        this.#pump();
      });
    }
    return call;
  }

  /** Blocks until every posted call has been answered. */
  flush(): void {
    if (this.#outstanding === 0) return;
    this.#assertAlive();
    this.#inCall = true;
    try {
      this.#writeAll();
      while (this.#outstanding > 0) this.#readSome();
    } finally {
      this.#inCall = false;
      this.#deliverLater();
    }
  }

  /** Ends the connection: everything posted is answered first, then the server's input ends. */
  close(): void {
    if (this.#dead !== undefined) return;
    try {
      this.flush();
    } finally {
      this.#end(closedFailure());
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
    if (this.#watch?.fired === true) return this.#bury(this.#silence());
    const how = endOfChild(this.#process.child);
    return this.#bury(this.#misdeed(`ended unexpectedly${how === undefined ? "" : ` (${how})`}`));
  }

  #bury(failure: StorageFailure): StorageFailure {
    this.#end(failure);
    this.ondeath?.(failure);
    return failure;
  }

  /** The failure of a server that did what it should not. */
  #misdeed(did: string): StorageFailure {
    if (!this.#spoken) return notAServer(this.#program, did, this.#process.complaint());
    return this.#loss("UnknownError", did);
  }

  /** The failure of a server that did not answer in time. */
  #silence(): StorageFailure {
    return this.#loss("TimeoutError", `gave no answer for ${this.#timeout} ms and was ended`);
  }

  #loss(name: string, did: string): StorageFailure {
    const complaint = this.#process.complaint();
    const said = complaint === "" ? "" : ` It said: ${complaint}`;
    const changes = this.pending;
    const unconfirmed = changes === 1 ? "The last change was" : `The last ${changes} changes were`;
    const confirmed = changes === 0 ? "Every earlier change was confirmed." : `${unconfirmed} not confirmed and may be lost.`;
    return new StorageFailure(
      name,
      `The storage server ${did}.${said} ${confirmed} Items in memory are gone, those in a directory are there. Create a new storage to go on.`,
    );
  }

  /** Kills a server that does not answer, so that nothing is left running. */
  #giveUp(): never {
    this.#process.child.kill("SIGKILL");
    throw this.#bury(this.#silence());
  }

  /**
   * Sends and receives in the middle of a script. A server that works while the script does has less left
   * at its end, and it drops events for a client that leaves more than a megabyte of them unread.
   */
  #exchange(): void {
    const calls = this.#backlog.length - this.#sent;
    const start = now();
    this.#pump();
    if (now() - start > calls * SLOW) this.#enough = Math.min(2 * calls, RETRY);
    if (this.#dead === undefined && this.#firstUnanswered < this.#unanswered.length) {
      while (this.#readAvailable());
      this.#deliverLater();
    }
    if (this.#dead !== undefined) throw this.#dead;
  }

  /** Moves the backlog towards the server as far as the FIFO has room. */
  #pump(): void {
    if (this.#dead !== undefined) return;
    this.#due = 0;
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
        this.#due = this.#backlog.length - this.#sent + RETRY;
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
    this.#writeText(line);
  }

  /** Takes the next lines of the backlog. */
  #nextChunk(): Buffer {
    let text = "";
    while (this.#sent < this.#backlog.length && text.length < CHUNK) {
      const next = this.#backlog[this.#sent++];
      if (typeof next === "string") {
        text += next;
        continue;
      }
      next.final = true;
      text += next.encode(this.#nextId++);
      this.#unanswered.push(next.owner);
    }
    if (this.#sent === this.#backlog.length) {
      this.#backlog = [];
      this.#sent = this.#backlogUnits = 0;
      this.#round++;
    } else {
      this.#backlogUnits = Math.max(0, this.#backlogUnits - text.length);
      if (this.#sent > 10_000 && this.#sent > this.#backlog.length / 2) {
        this.#backlog.splice(0, this.#sent);
        this.#sent = 0;
      }
    }
    return this.#bytesOf(text);
  }

  /** The UTF-8 of a text, valid until the next one; nothing may be unwritten. */
  #bytesOf(text: string): Buffer {
    return text.length > SHORT ? Buffer.from(text, "utf8") : this.#outgoing.subarray(0, this.#outgoing.write(text, 0, "utf8"));
  }

  /** Writes what is unwritten; false when the FIFO is full. */
  #writeSome(): boolean {
    const chunk = this.#unwritten as Buffer;
    const written = this.#write(chunk, chunk.length);
    this.#unwritten = written === chunk.length ? undefined : chunk.subarray(written);
    return written > 0;
  }

  /** Writes the line of a call that nothing waits before. */
  #writeText(line: string): void {
    const length = this.#outgoing.write(line, 0, "utf8");
    const written = this.#write(this.#outgoing, length);
    if (written < length) this.#unwritten = this.#outgoing.subarray(written, length);
  }

  /** Hands bytes to the FIFO without waiting; 0 when it is full. */
  #write(bytes: Buffer, length: number): number {
    try {
      return writeSync(this.#process.input, bytes, 0, Math.min(length, AT_ONCE), null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return 0;
      this.#readRest();
      throw this.#die();
    }
  }

  /** Writes, and waits for room, until no more than this many units of the backlog are left. */
  #writeAll(rest = 0): void {
    let attempt = 0;
    let since = 0;
    while (rest > 0 ? this.#backlogUnits > rest : this.#unwritten !== undefined || this.#sent < this.#backlog.length) {
      this.#unwritten ??= this.#nextChunk();
      if (this.#writeSome()) {
        attempt = 0;
        continue;
      }
      // The server stops reading while its answers are not read, so they have to be.
      while (this.#readAvailable()) attempt = 0;
      // A program that is only held back can let the server take a good part of what is in the FIFO.
      pause(rest > 0 ? attempt + LONGER : attempt);
      if (attempt++ === 0) since = now();
      else if (now() - since > this.#timeout) this.#giveUp();
    }
    if (rest > 0) this.#deliverLater();
  }

  /** Reads what is there without waiting; false when there is nothing. */
  #readAvailable(): boolean {
    let length: number;
    try {
      length = readSync(this.#process.output, this.#buffer, 0, this.#buffer.length, null);
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
      const since = now();
      while (!this.#readAvailable()) {
        pause(attempt++);
        if (now() - since > this.#timeout) this.#giveUp();
      }
      return;
    }
    this.#watch.enter();
    let length = 0;
    try {
      length = readSync(this.#process.blockingOutput, this.#buffer, 0, this.#buffer.length, null);
    } finally {
      this.#watch.leave();
    }
    if (length === 0) throw this.#die();
    this.#receive(this.#buffer.subarray(0, length));
  }

  #receive(bytes: Buffer): void {
    const text = this.#decoder.text(bytes);
    for (let start = 0; start < text.length; ) {
      const end = text.indexOf("\n", start);
      if (
        this.#firstUnanswered < this.#unanswered.length &&
        text.startsWith(ACKNOWLEDGED, end - ACKNOWLEDGED.length) &&
        text.startsWith(ANSWER, start)
      ) {
        this.#acknowledge();
      } else if (this.#inCall && text.startsWith(this.#success, start)) {
        // The server writes `result` last, so the rest of the line is its value and a brace.
        this.#spoken = true;
        this.#reply = { result: valueOf(text.slice(start + this.#success.length, end - 1)) };
      } else {
        this.#take(text.slice(start, end));
      }
      start = end + 1;
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
    if (line.startsWith(NOTIFICATION) && this.onarrival?.(line, this.#notifications.length === this.#delivered) === true) return;
    const message = messageIn(line);
    if (message === undefined) {
      this.#process.child.kill("SIGKILL");
      throw this.#bury(this.#misdeed(noMessage(line)));
    }
    this.#spoken = true;
    if (message.method !== undefined) {
      this.#notifications.push({ method: message.method, params: message.params });
    } else if (this.#inCall && message.id === this.#awaited) {
      this.#reply = message;
    } else if (this.#firstUnanswered < this.#unanswered.length) {
      const owner = this.#acknowledge();
      if (message.error !== undefined) owner.refused(failureFrom(message.error));
    } else if (this.#inCall && message.id === null && message.error !== undefined) {
      // The server could not read the id of what it refuses. Answers come in the order of the calls, and every
      // earlier one has its own, so that this is the one that is waited for.
      this.#reply = message;
    }
  }

  #deliver(): void {
    // Delivering one may read others, which come behind it.
    while (this.#delivered < this.#notifications.length) this.onnotification?.(this.#notifications[this.#delivered++]);
    this.#notifications = [];
    this.#delivered = 0;
  }

  #deliverLater(): void {
    if (this.#notifications.length > this.#delivered) setImmediate(() => this.#deliver());
  }
}
