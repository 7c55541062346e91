import { StorageFailure } from "./failure.js";
import { locateServer } from "./locate.js";
import { checkOptions, kind, type Kinds } from "./options.js";
import type { Methods, OpenParams, StorageEventParams, StorageOverflowParams } from "./protocol.js";
import { interfacesIn } from "./realm.js";
import { RemoteArea } from "./remote-area.js";
import { RpcProcess, type RpcProcessEvents } from "./rpc-process.js";
import { now, outOfContext, resolve, setTimeout } from "./runtime.js";
import { serverArguments } from "./server-arguments.js";
import type { Notification } from "./sync-connection.js";

// A server that dies as soon as it is started must not be started for ever.
const RESTARTS = 5;
const RESTART_WINDOW = 180_000;

/** Options of `connect`. */
export interface ConnectOptions {
  /** The directory of persistent areas; the server's own default otherwise. `false` has none. */
  storageDir?: string | false;
  /** The origin of areas that are opened without one. */
  origin?: string;
  /** The path of the server; by default it is looked for. */
  server?: string;
  /** The longest wait for an answer, in milliseconds; 10,000 by default. */
  timeout?: number;
  /** Starts the server again when it dies; true by default. */
  reconnect?: boolean;
}

const OPTIONS: Kinds<ConnectOptions> = {
  storageDir: kind.directoryOrNone,
  origin: kind.origin,
  server: kind.text,
  timeout: kind.milliseconds,
  reconnect: kind.flag,
};

/** Dispatched when another server took the place of a dead one. */
export class ReconnectEvent extends Event {
  /** The areas in memory, whose content died with the server; they are empty now. */
  readonly lost: RemoteArea[];

  constructor(lost: RemoteArea[]) {
    super("reconnect");
    this.lost = lost;
  }
}

type Result<M extends keyof Methods> = Methods[M]["result"];
type Params<M extends keyof Methods> = Methods[M]["params"];

const { exceptionFor } = interfacesIn(globalThis);

/**
 * A connection to a server of its own. It dispatches `reconnect` when the server died and was replaced,
 * and `close` when it is gone for good.
 */
export class Connection extends EventTarget implements AsyncDisposable {
  readonly #options: ConnectOptions;
  readonly #areas = new Set<RemoteArea>();
  readonly #listeners = new Map<number, RemoteArea>();
  /** Events can come right behind the answer that tells whose they are, before its promise has settled. */
  #early: StorageEventParams[] = [];
  /** The newest subscription that has a listener or had one. */
  #newest = 0;
  #process: RpcProcess;
  /** Settles when the areas are open on the present server. */
  #ready: Promise<void> = Promise.resolve();
  #deaths: number[] = [];
  #closed: StorageFailure | undefined;
  #established = false;

  constructor(options: ConnectOptions) {
    super();
    // The server may be started again after the program has changed its directory.
    const { storageDir, server } = options;
    this.#options = { ...options, ...(typeof storageDir === "string" && { storageDir: resolve(storageDir) }), ...(server !== undefined && { server: resolve(server) }) };
    this.#process = this.#start();
  }

  /** The process id of the server. */
  get serverPid(): number | undefined {
    return this.#process.pid;
  }

  /** Opens an area: persistent ones are shared with every process, others belong to this connection. */
  async open(params: OpenParams): Promise<RemoteArea> {
    const opened = await this.request("storage/open", () => params);
    const area = new RemoteArea(this, params, opened);
    this.#areas.add(area);
    return area;
  }

  /** Calls a method of the protocol, as soon as the server is there. */
  async request<M extends keyof Methods>(method: M, params: () => Params<M>): Promise<Result<M>> {
    // A server that took the place of a dead one may be dead already. Calls stay in their order, since
    // all of them wait for the same promises.
    for (let ready: Promise<void> | undefined; ready !== this.#ready; ) await (ready = this.#ready);
    if (this.#closed !== undefined) throw exceptionFor(this.#closed);
    return this.send(method, params());
  }

  /** Calls a method of the protocol on the present server, whatever its state. */
  async send<M extends keyof Methods>(method: M, params: Params<M>): Promise<Result<M>> {
    try {
      return (await this.#process.call(method, params)) as Result<M>;
    } catch (error) {
      throw exceptionFor(error);
    }
  }

  /** Lets the server finish what it was sent, and ends it. */
  async close(): Promise<void> {
    if (this.#closed === undefined) {
      await this.#ready;
      this.#closed = new StorageFailure("InvalidStateError", "This connection was closed. Nothing was read or stored. Connect again.");
      await this.#process.end();
      this.dispatchEvent(new Event("close"));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Finds out whether the program is a server at all; one that is not is not started again. */
  async establish(): Promise<this> {
    const area = await this.open({ persistent: false });
    await area.close();
    this.#established = true;
    return this;
  }

  /** Lets the process end although the connection is open. */
  unref(): void {
    this.#process.unref();
  }

  /** Hands events of a subscription to an area. */
  listen(area: RemoteArea): void {
    const subscription = area.subscription as number;
    this.#listeners.set(subscription, area);
    this.#newest = Math.max(this.#newest, subscription);
    const early = this.#early.filter((event) => event.subscription === subscription);
    this.#early = this.#early.filter((event) => event.subscription !== subscription);
    for (const event of early) area.take(event);
  }

  /** Forgets an area that is being closed. */
  forget(area: RemoteArea): void {
    this.#areas.delete(area);
    if (area.subscription !== undefined) this.#listeners.delete(area.subscription);
  }

  #start(): RpcProcess {
    const { storageDir, origin, server, timeout = 10_000 } = this.#options;
    const events: RpcProcessEvents = {
      onnotification: (notification) => this.#take(notification),
      ondeath: (failure) => this.#replace(failure),
    };
    return outOfContext(() => new RpcProcess(locateServer(server), serverArguments(storageDir, origin), timeout, events));
  }

  #take({ method, params }: Notification): void {
    const { subscription } = params as { subscription?: number };
    if (subscription === undefined) return;
    if (method === "storage/event") {
      const listener = this.#listeners.get(subscription);
      if (listener !== undefined) listener.take(params as StorageEventParams);
      else if (subscription > this.#newest) this.#early.push(params as StorageEventParams);
    } else if (method === "storage/overflow") {
      this.#listeners.get(subscription)?.overflowed((params as StorageOverflowParams).sequence);
    }
  }

  #replace(failure: StorageFailure): void {
    const present = now();
    this.#deaths = [...this.#deaths.filter((time) => present - time < RESTART_WINDOW), present];
    if (!this.#established || this.#options.reconnect === false || this.#deaths.length > RESTARTS) {
      this.#closed = failure;
      this.dispatchEvent(new Event("close"));
      return;
    }
    const delay = 2 ** (this.#deaths.length - 1) * 20;
    this.#ready = new Promise((done) => {
      setTimeout(() => void this.#reopen().then(done), delay);
    });
  }

  async #reopen(): Promise<void> {
    try {
      this.#process = this.#start();
      this.#listeners.clear();
      this.#early = [];
      this.#newest = 0;
      for (const area of this.#areas) await area.reopen();
    } catch {
      // The new server died as well, and its own death is dealt with by itself.
      return;
    }
    this.dispatchEvent(new ReconnectEvent([...this.#areas].filter((area) => !area.persistent)));
  }
}

/** Starts a server and connects to it. */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  checkOptions("connect", options, OPTIONS);
  let connection: Connection;
  try {
    connection = new Connection(options);
  } catch (error) {
    throw exceptionFor(error);
  }
  return connection.establish();
}
