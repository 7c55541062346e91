import type { ChildProcess } from "node:child_process";
import { failureFrom, notAServer, StorageFailure } from "./failure.js";
import { LineDecoder, messageIn, noMessage } from "./lines.js";
import { clearTimeout, setTimeout, spawn, toJson } from "./runtime.js";
import type { Notification } from "./sync-connection.js";

interface Waiting {
  resolve(result: unknown): void;
  reject(failure: StorageFailure): void;
}

/** What the owner of a server process is told. */
export interface RpcProcessEvents {
  onnotification(notification: Notification): void;
  /** The server ended although it was not asked to; every open call was rejected with the failure. */
  ondeath(failure: StorageFailure): void;
}

/** One server process and the calls that wait for its answers. */
export class RpcProcess {
  readonly #program: string;
  readonly #child: ChildProcess;
  readonly #timeout: number;
  readonly #events: RpcProcessEvents;
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;
  #answered = 0;
  /** Whether the program has ever spoken as a server does. */
  #spoken = false;
  #complaint = "";
  #ending = false;
  #ended: StorageFailure | undefined;

  constructor(program: string, args: string[], timeout: number, events: RpcProcessEvents) {
    this.#program = program;
    this.#timeout = timeout;
    this.#events = events;
    // A process group of its own: an interrupt typed at the terminal must not take the server down before the
    // interrupted program has stored its state; the end of its input ends it. On Windows it would get a window.
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], detached: process.platform !== "win32" });
    const { stdin, stdout, stderr } = this.#child;
    const decoder = new LineDecoder();
    stdout!.on("data", (bytes: Buffer) => decoder.push(bytes).forEach((line) => this.#take(line)));
    stderr!.setEncoding("utf8").on("data", (text: string) => (this.#complaint = (this.#complaint + text).slice(-2000)));
    // The end of the process tells more than a broken pipe.
    stdin!.on("error", () => undefined);
    this.#exited = new Promise((resolve) => {
      this.#child.on("error", (error) => this.#end(`could not be started (${error.message})`, resolve));
      this.#child.on("close", (code, signal) => this.#end(`ended unexpectedly (${signal ?? `exit code ${code}`})`, resolve));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  call(method: string, params: unknown): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin!.write(`${toJson({ jsonrpc: "2.0", id, method, params })}\n`);
      if (this.#timer === undefined) this.#startTimer();
    });
  }

  /** Lets the server answer what it was sent, and ends it. */
  async end(): Promise<void> {
    this.#ending = true;
    this.#child.stdin!.end();
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), this.#timeout);
    await this.#exited;
    clearTimeout(kill);
  }

  unref(): void {
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) (stream as unknown as { unref(): void }).unref();
  }

  #take(line: string): void {
    const message = messageIn(line);
    if (message === undefined) {
      this.#child.kill("SIGKILL");
      return this.#finish(this.#misdeed(noMessage(line)));
    }
    this.#spoken = true;
    if (message.method !== undefined) return this.#events.onnotification({ method: message.method, params: message.params });
    // The server could not read the id of one of the open calls, which nothing else would answer, and cannot say
    // which it is. Answers to the others that still come find nobody.
    if (message.id === null && message.error !== undefined) return this.#failAll(failureFrom(message.error));
    const waiting = this.#waiting.get(message.id as number);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id as number);
    this.#answered++;
    if (message.error !== undefined) waiting.reject(failureFrom(message.error));
    else waiting.resolve(message.result);
  }

  /** Fails every open call. */
  #failAll(failure: StorageFailure): void {
    for (const waiting of this.#waiting.values()) waiting.reject(failure);
    this.#waiting.clear();
  }

  /** Looks at every interval whether anything was answered in it; a silent server is ended. */
  #startTimer(): void {
    const answered = this.#answered;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#waiting.size === 0) return;
      if (answered !== this.#answered) return this.#startTimer();
      this.#child.kill("SIGKILL");
      this.#finish(new StorageFailure("TimeoutError", `The storage server gave no answer for ${this.#timeout} ms and was ended. It is not known whether the change took effect.`));
    }, this.#timeout);
    this.#timer.unref();
  }

  #end(how: string, resolve: () => void): void {
    this.#finish(this.#misdeed(how));
    resolve();
  }

  #misdeed(did: string): StorageFailure {
    const complaint = this.#complaint.trim();
    if (!this.#spoken) return notAServer(this.#program, did, complaint);
    return new StorageFailure(
      "UnknownError",
      `The storage server ${did}.${complaint === "" ? "" : ` It said: ${complaint}`} It is not known whether the change took effect; read it again to find out.`,
    );
  }

  #finish(failure: StorageFailure): void {
    if (this.#ended !== undefined) return;
    this.#ended = failure;
    clearTimeout(this.#timer);
    this.#failAll(failure);
    if (!this.#ending) this.#events.ondeath(failure);
  }
}
