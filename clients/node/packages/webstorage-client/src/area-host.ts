import { DirectView } from "./direct-area.js";
import { eventIn } from "./event-line.js";
import type { StorageFailure } from "./failure.js";
import { MirroredArea, type WriteRefused } from "./mirrored-area.js";
import type { AreaAddress, View, ViewOwner } from "./observer.js";
import { emitWarning, onProcess, outOfContext, toJson } from "./runtime.js";
import { serverArguments } from "./server-arguments.js";
import { SyncConnection } from "./sync-connection.js";
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

const OVERFLOW = '{"jsonrpc":"2.0","method":"storage/overflow","params":{"subscription":';

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
  readonly #listeners = new Map<number, Listener>();
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
      if (event !== undefined) return this.#listeners.get(event.subscription)?.arrive(event, first) === true;
      if (!line.startsWith(OVERFLOW)) return false;
      return this.#listeners.get(parseInt(line.slice(OVERFLOW.length)))?.miss() === true;
    };
    this.#connection.onnotification = ({ method, params }) => {
      const listener = this.#listeners.get((params as { subscription?: number }).subscription ?? -1);
      if (method === "storage/event") listener?.apply(params as CompleteEvent);
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
    const key = toJson([address.persistent, address.origin, address.quota]);
    let area = this.#mirrors.get(key);
    if (area === undefined) {
      const created: MirroredArea = new MirroredArea(
        this.#connection,
        address,
        (failure) => this.onrefused(failure),
        () => {
          this.#mirrors.delete(key);
          this.#ignore(created.subscription);
        },
      );
      if (created.subscription !== undefined) this.#listeners.set(created.subscription, created);
      this.#mirrors.set(key, created);
      area = created;
    }
    return area.open(owner);
  }

  #openDirect(address: AreaAddress, owner: ViewOwner): View {
    let views = this.#directViews.get(address.origin);
    if (views === undefined) this.#directViews.set(address.origin, (views = new Set()));
    const view: DirectView = new DirectView(this.#connection, address, owner, views, () => {
      this.#ignore(view.subscription);
      if (views.size === 0) this.#directViews.delete(address.origin);
    });
    if (view.subscription !== undefined) this.#listeners.set(view.subscription, view);
    return view;
  }

  #ignore(subscription: number | undefined): void {
    if (subscription !== undefined) this.#listeners.delete(subscription);
  }

  /** Blocks until the server has confirmed every change. */
  flush(): void {
    this.#connection.flush();
  }

  close(): void {
    this.#connection.close();
  }
}

const hosts = new Map<string, AreaHost>();
let hooked = false;

/** Every change is handed over before the process ends, however it ends short of a kill. */
function flushAtExit(): void {
  for (const host of hosts.values()) {
    try {
      if (host.alive) host.flush();
    } catch (error) {
      process.stderr.write(`webstorage-client: ${(error as Error).message}\n`);
    }
  }
}

function hookEnd(): void {
  onProcess("exit", flushAtExit);
  // Deno ends a program whose error nobody caught without that event.
  if ("Deno" in globalThis) for (const type of ["error", "unhandledrejection"]) (globalThis as unknown as EventTarget).addEventListener(type, flushAtExit);
}

/** The server for these options: one that runs already, or a new one. */
export function acquireHost(options: HostOptions): AreaHost {
  const key = toJson([options.program, options.storageDir, options.mode, options.timeout]);
  let host = hosts.get(key);
  if (host === undefined) {
    if (!hooked) hookEnd();
    hooked = true;
    // It serves all that come later, so it belongs to nobody's work.
    const created: AreaHost = outOfContext(() => new AreaHost(options, () => {
      if (hosts.get(key) === created) hosts.delete(key);
    }));
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
