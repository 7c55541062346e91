import { DirectView } from "./direct-area.js";
import { eventIn } from "./event-line.js";
import type { StorageFailure } from "./failure.js";
import { MirroredArea, type WriteRefused } from "./mirrored-area.js";
import type { AreaAddress, View, ViewOwner } from "./observer.js";
import { emitWarning, fromJson, onProcess, outOfContext, setImmediate, toJson } from "./runtime.js";
import { serverArguments } from "./server-arguments.js";
import { SyncConnection } from "./sync-connection.js";
import type { StorageQuotaParams } from "./protocol.js";
import type { CompleteEvent } from "./wire.js";

/** How areas are reached: through a copy in this process, or by one blocking call for each operation. */
export type Mode = "mirrored" | "direct";

/** What decides whether two storages can share one server. */
export interface HostOptions {
  program: string;
  storageDir: string | undefined;
  mode: Mode;
  timeout: number;
}

// Fake timers of tests replace the global; the one of load time is the real one.

const OVERFLOW = '{"jsonrpc":"2.0","method":"storage/overflow","params":{"subscription":';
const QUOTA = '{"jsonrpc":"2.0","method":"storage/quota","params":{"subscription":';

/** Who takes in the events of one subscription. */
interface Listener {
  /** Takes an event in at once if that does not show, even in the middle of a script; else returns false. */
  arrive(event: CompleteEvent, first: boolean): boolean;
  /** Events were missed, which `reload` will be called for later unless this returns true. */
  miss(): boolean;
  apply(event: CompleteEvent): void;
  /** Events were missed. */
  reload(): void;
}

/** One server and the areas that documents of this process have opened on it. */
export class AreaHost {
  readonly #connection: SyncConnection;
  readonly #mode: Mode;
  readonly #mirrors = new Map<string, MirroredArea>();
  readonly #directViews = new Map<string, Set<DirectView>>();
  /** Who keeps copies. */
  readonly #followers = new Map<number, MirroredArea>();
  /** Who keeps none. */
  readonly #listeners = new Map<number, DirectView>();
  #areas = 0;
  users = 0;
  onrefused: WriteRefused = (failure) => emitWarning(failure.message, failure.name);

  constructor(options: HostOptions, ondeath: (failure: StorageFailure) => void) {
    const args = serverArguments(options.storageDir ?? false);
    this.#mode = options.mode;
    this.#connection = new SyncConnection({ program: options.program, args, timeout: options.timeout, blocking: options.mode === "direct" });
    this.#connection.ondeath = (failure) => {
      for (const area of this.#mirrors.values()) area.lose(failure);
      ondeath(failure);
    };
    this.#connection.onarrival = (line, first) => {
      const event = eventIn(line);
      if (event !== undefined) return this.#listener(event.subscription)?.arrive(event, first) === true;
      if (line.startsWith(QUOTA)) {
        const { params } = fromJson(line) as { params: StorageQuotaParams };
        const follower = this.#followers.get(params.subscription);
        follower?.limit(params);
        return follower !== undefined;
      }
      if (!line.startsWith(OVERFLOW)) return false;
      return this.#listener(parseInt(line.slice(OVERFLOW.length)))?.miss() === true;
    };
    this.#connection.onnotification = ({ method, params }) => {
      const { subscription = -1 } = params as { subscription?: number };
      const listener = this.#listener(subscription);
      // Read together with the answer that tells whose it is, and so before it was known to be anybody's.
      if (method === "storage/quota") this.#followers.get(subscription)?.limit(params as StorageQuotaParams);
      else if (method === "storage/event") listener?.apply(params as CompleteEvent);
      else if (method === "storage/overflow") listener?.reload();
    };
  }

  get alive(): boolean {
    return this.#connection.alive;
  }

  /** The number of changes that were not confirmed yet. */
  get pending(): number {
    return this.#connection.pending;
  }

  /** The process id of the server, for those who watch or end it. */
  get pid(): number {
    return this.#connection.pid;
  }

  /**
   * A new area in memory that nobody else can have opened. Areas in memory are told apart by their
   * origin, and this name never leaves the connection, so it need not be that of the document.
   */
  privateArea(quota: number | undefined): AreaAddress {
    const origin = `http://area-${++this.#areas}.invalid`;
    return quota === undefined ? { persistent: false, origin } : { persistent: false, origin, quota };
  }

  open(address: AreaAddress, owner: ViewOwner): View {
    return this.#mode === "mirrored" ? this.#openMirrored(address, owner) : this.#openDirect(address, owner);
  }

  #openMirrored(address: AreaAddress, owner: ViewOwner): View {
    const key = toJson([address.persistent, address.origin]);
    let area = this.#mirrors.get(key);
    if (area === undefined) {
      area = new MirroredArea(this.#connection, address, this.#followers, (failure) => this.onrefused(failure), () => this.#mirrors.delete(key));
      this.#mirrors.set(key, area);
    }
    return area.open(address, owner);
  }

  #openDirect(address: AreaAddress, owner: ViewOwner): View {
    let views = this.#directViews.get(address.origin);
    if (views === undefined) this.#directViews.set(address.origin, (views = new Set()));
    const view: DirectView = new DirectView(this.#connection, address, owner, views, () => {
      if (view.subscription !== undefined) this.#listeners.delete(view.subscription);
      if (views.size === 0) this.#directViews.delete(address.origin);
    });
    if (view.subscription !== undefined) this.#listeners.set(view.subscription, view);
    return view;
  }

  #listener(subscription: number): Listener | undefined {
    return this.#followers.get(subscription) ?? this.#listeners.get(subscription);
  }

  /** Blocks until the server has confirmed every change. */
  flush(): void {
    this.#connection.flush();
  }

  /** The same, and from now on every change that outlives the process is confirmed before the next one. */
  writeThrough(): void {
    this.#connection.writesThrough = true;
    this.#connection.flush();
  }

  /** Changes may wait again for the end of the microtask. */
  writeBehind(): void {
    this.#connection.writesThrough = false;
  }

  close(): void {
    this.#connection.close();
  }
}

const hosts = new Map<string, AreaHost>();
let hooked = false;
let ending = false;

/**
 * Every change is handed over before the process ends, however it ends short of a kill. Others may listen to the
 * end as well and store something after this, so that from now on no change waits for a later moment.
 */
function flushAtEnd(): void {
  ending = true;
  for (const host of hosts.values()) {
    try {
      if (host.alive) host.writeThrough();
    } catch (error) {
      process.stderr.write(`webstorage-client: ${(error as Error).message}\n`);
    }
  }
}

/** The same where somebody may still prevent the end. */
function flushBeforeEnd(): void {
  flushAtEnd();
  setImmediate(() => {
    ending = false;
    for (const host of hosts.values()) host.writeBehind();
  });
}

/**
 * Notices the end of the process from now on. To be called before the first use of a storage, which may itself come
 * at the end.
 */
export function watchForEnd(): void {
  if (hooked) return;
  hooked = true;
  onProcess("exit", flushAtEnd);
  if (!("Deno" in globalThis)) return;
  // Deno ends a program whose error nobody caught without that event.
  const target = globalThis as unknown as EventTarget;
  for (const type of ["error", "unhandledrejection"]) target.addEventListener(type, flushBeforeEnd);
  target.addEventListener("unload", flushAtEnd);
}

/** The server for these options: one that runs already, or a new one. */
export function acquireHost(options: HostOptions): AreaHost {
  const key = toJson([options.program, options.storageDir, options.mode, options.timeout]);
  let host = hosts.get(key);
  if (host === undefined) {
    // It serves all that come later, so it belongs to nobody's work.
    const created: AreaHost = outOfContext(() => new AreaHost(options, () => {
      if (hosts.get(key) === created) hosts.delete(key);
    }));
    if (ending) created.writeThrough();
    hosts.set(key, created);
    host = created;
  }
  host.users++;
  return host;
}

/** Lets go of a server. With `keep` it goes on waiting for the next storage of this process. */
export function releaseHost(host: AreaHost, keep: boolean): void {
  host.users--;
  if (!host.alive) return;
  if (keep || host.users > 0) {
    host.flush();
    return;
  }
  for (const [key, known] of hosts) {
    if (known === host) hosts.delete(key);
  }
  host.close();
}
