import { acquireHost, releaseHost, watchForEnd, type AreaHost, type Mode } from "./area-host.js";
import type * as dom from "./dom.js";
import { closedFailure, StorageFailure } from "./failure.js";
import { installOn, type InstallOptions } from "./install.js";
import { atListening } from "./listening.js";
import { locateServer } from "./locate.js";
import type { AreaAddress, View } from "./observer.js";
import { checkOptions, kind, oneOf, type Kinds } from "./options.js";
import { originOf } from "./origin.js";
import { interfacesIn, type RealmInterfaces } from "./realm.js";
import { resolve } from "./runtime.js";
import { snapshotOf } from "./seed.js";
import { stateOf, type Seed, type Snapshot, type StorageState } from "./state.js";
import { StorageWindow, type FailOptions } from "./storage-window.js";
import type { Operation } from "./area.js";

/** Options of `createWebStorage`. */
export interface WebStorageOptions {
  /** The origin whose storage it is; by default that of `url`, or `http://localhost`. */
  origin?: string;
  /** The URL of the document, for the events that its changes cause elsewhere. */
  url?: string;
  /** A directory that keeps `localStorage`, shared with every process that names it. Without it both areas are in memory. */
  storageDir?: string;
  /** The quota of each area in bytes, two for each UTF-16 unit. Without it the server's own, 10 MiB. */
  quota?: number;
  /** `mirrored` reads from a copy in this process; `direct` asks the server every time. */
  mode?: Mode;
  /** The global object of the realm that the classes and objects belong to; this one by default. */
  global?: object;
  /** Where storage events are dispatched; a new `EventTarget` by default. */
  target?: EventTarget;
  /** What the areas start with. In a `storageDir` the items are added to what is there. */
  seed?: Seed;
  /** Dispatches events for the window's own changes too, which browsers do not. */
  emitSelf?: boolean;
  /** Takes no function for a mock: what is assigned to the name of a method always becomes an item. */
  strict?: boolean;
  /** The path of the server; by default it is looked for. */
  server?: string;
  /** The longest wait for the server, in milliseconds; 10,000 by default. */
  timeout?: number;
  /** Leaves the server running for the next storage of this process when this one is closed. */
  keepServer?: boolean;
}

/** Options of `storageState`. */
export interface StateOptions {
  /** A file that the content is written to. */
  path?: string;
}

/** Options of `openWindow`. */
export interface OpenWindowOptions {
  /** The URL of the new document, of the same origin. */
  url?: string;
  /** Where its storage events are dispatched; a new `EventTarget` by default. */
  target?: EventTarget;
  /** Whether its session storage starts as a copy of the opener's, as with `window.open`; true by default. */
  copySession?: boolean;
}

/** The kinds of the options of `createWebStorage`. */
export const STORAGE_OPTIONS: Kinds<WebStorageOptions> = {
  origin: kind.origin,
  url: kind.url,
  storageDir: kind.text,
  quota: kind.bytes,
  mode: oneOf("mirrored", "direct"),
  seed: kind.anything,
  global: kind.realm,
  target: kind.eventTarget,
  emitSelf: kind.flag,
  strict: kind.flag,
  server: kind.text,
  timeout: kind.milliseconds,
  keepServer: kind.flag,
};

const WINDOW_OPTIONS: Kinds<OpenWindowOptions> = { url: kind.url, target: kind.eventTarget, copySession: kind.flag };
const STATE_OPTIONS: Kinds<StateOptions> = { path: kind.text };

/** The storage of a document belongs to the origin of its URL. */
function assertSameOrigin(url: string, origin: string, owner: string): void {
  if (originOf(url) === origin) return;
  throw new TypeError(`${owner}: the option url must be of the origin ${origin}, and ${url} is of ${originOf(url)}. Correct one of them, or leave one out.`);
}

/** Web Storage for one document and the windows it opens, backed by a storage server. */
export class WebStorage implements Disposable {
  readonly origin: string;
  readonly url: string;
  readonly Storage: RealmInterfaces["Storage"];
  readonly StorageEvent: RealmInterfaces["StorageEvent"];
  readonly QuotaExceededError: RealmInterfaces["QuotaExceededError"];
  readonly #options: WebStorageOptions;
  readonly #interfaces: RealmInterfaces;
  readonly #initial: Snapshot;
  readonly #windows: StorageWindow[] = [];
  readonly #main: StorageWindow;
  readonly #uninstall: (() => void)[] = [];
  #host: AreaHost | undefined;
  #local: AreaAddress | undefined;
  #seeded = false;
  #closed = false;

  constructor(options: WebStorageOptions = {}) {
    checkOptions("createWebStorage", options, STORAGE_OPTIONS);
    // A program may change its directory before the first access.
    const { storageDir, server } = options;
    this.#options = { ...options, ...(storageDir !== undefined && { storageDir: resolve(storageDir) }), ...(server !== undefined && { server: resolve(server) }) };
    this.origin = originOf(options.origin ?? options.url ?? "http://localhost");
    this.url = options.url ?? `${this.origin}/`;
    if (options.url !== undefined) assertSameOrigin(options.url, this.origin, "createWebStorage");
    this.#interfaces = interfacesIn(options.global ?? globalThis);
    this.Storage = this.#interfaces.Storage;
    this.StorageEvent = this.#interfaces.StorageEvent;
    this.QuotaExceededError = this.#interfaces.QuotaExceededError;
    this.#initial = snapshotOf(options.seed, this.origin);
    this.#main = this.#createWindow(this.url, options.target ?? this.#interfaces.createTarget(), () => this.#initial.sessionStorage);
    watchForEnd();
    // Without a directory nobody else can change what the document would hear of.
    if (options.storageDir !== undefined && this.origin !== "null") this.#uninstall.push(atListening(this.#main.target as EventTarget, () => this.#hear()));
  }

  get localStorage(): dom.Storage {
    return this.#main.localStorage;
  }

  get sessionStorage(): dom.Storage {
    return this.#main.sessionStorage;
  }

  /** Where storage events of the document are dispatched. */
  get target(): dom.StorageEventTarget {
    return this.#main.target;
  }

  /** The process id of the server, from when something needed it until `close`. */
  get serverPid(): number | undefined {
    return this.#host?.pid;
  }

  /** The number of changes that the server has not confirmed yet. */
  get pending(): number {
    return this.#host?.pending ?? 0;
  }

  /** Opens another document of the origin. Each hears of what the other changes. */
  openWindow(options: OpenWindowOptions = {}): StorageWindow {
    this.#assertOpen();
    checkOptions("openWindow", options, WINDOW_OPTIONS);
    if (options.url !== undefined) assertSameOrigin(options.url, this.origin, "openWindow");
    const session = options.copySession === false ? [] : this.#main.sessionEntries();
    // A document that listens from the start must not miss what was changed before its first access.
    const window = this.#createWindow(options.url ?? this.url, options.target ?? this.#interfaces.createTarget(), () => session);
    this.#main.snapshot();
    window.snapshot();
    return window;
  }

  /** Makes the next operations of a kind fail in the document. */
  failNext(operation: Operation, error: string | Error, options?: FailOptions): void {
    this.#main.failNext(operation, error, options);
  }

  /** The items of both areas of the document. */
  snapshot(): Snapshot {
    return this.#main.snapshot();
  }

  /** Makes both areas what they were in a snapshot, without events in this process. */
  restore(snapshot: Snapshot): void {
    this.#main.restore(snapshot);
  }

  /** Back to the seed: closes the opened windows, forgets faults, waiting events and mocks on the objects. */
  reset(): void {
    this.#assertOpen();
    this.#closeWindows(1);
    this.#main.reset(this.#initial);
  }

  /** The content as Playwright's storageState, written to `path` if that is given. */
  storageState(options: StateOptions = {}): StorageState {
    checkOptions("storageState", options, STATE_OPTIONS);
    return stateOf(this.snapshot(), this.origin, options.path);
  }

  /** Puts the storage and its classes on a global object, as accessors; undone by `close`. */
  install(global: object = this.#options.global ?? globalThis, options?: InstallOptions): void {
    this.#assertOpen();
    this.#uninstall.push(installOn(global, this, this.#main, options));
  }

  /** Blocks until the server has confirmed every change. */
  flush(): void {
    this.#assertOpen();
    this.#interfaces.guarded(() => this.#host?.flush());
  }

  /**
   * Confirms every change, forgets the areas in memory and lets go of the server. Everything that needs the
   * storage throws afterwards. It can be taken off the object.
   */
  readonly close = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    // What was put on a global object twice has saved what the first time has put there.
    for (const undo of this.#uninstall.splice(0).reverse()) undo();
    try {
      this.#closeWindows(0);
    } finally {
      const host = this.#host;
      this.#host = undefined;
      if (host !== undefined) this.#interfaces.guarded(() => releaseHost(host, this.#options.keepServer ?? false));
    }
  };

  [Symbol.dispose](): void {
    this.close();
  }

  /** Hears of the changes of others from now on. To listen is no call that could fail. */
  #hear(): void {
    try {
      if (!this.#closed) this.#main.hear();
    } catch (error) {
      const { name, message } = error as Error;
      process.emitWarning(`Nothing is heard of what other processes store: ${message}`, name);
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw this.#interfaces.exceptionFor(closedFailure());
  }

  /** Closes all windows but the first ones, also when the server fails at one of them. */
  #closeWindows(kept: number): void {
    const failures: unknown[] = [];
    for (const window of this.#windows.splice(kept)) {
      try {
        window.close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #createWindow(url: string, target: EventTarget, session: () => Snapshot["sessionStorage"]): StorageWindow {
    const window = new StorageWindow({
      interfaces: this.#interfaces,
      target,
      origin: this.origin,
      url,
      emitSelf: this.#options.emitSelf ?? false,
      strict: this.#options.strict ?? false,
      openLocal: (owner) => {
        const view = this.#server().open(this.#localAddress(), owner);
        if (!this.#seeded) this.#fill(view, this.#initial.localStorage);
        this.#seeded = true;
        return view;
      },
      openSession: (owner) => {
        const server = this.#server();
        const view = server.open(server.privateArea(this.#options.quota), owner);
        this.#fill(view, session());
        return view;
      },
      closed: (closed) => {
        const index = this.#windows.indexOf(closed);
        if (index >= 0) this.#windows.splice(index, 1);
      },
    });
    this.#windows.push(window);
    return window;
  }

  #fill(view: View, entries: Snapshot["localStorage"]): void {
    try {
      for (const [key, value] of entries) view.setItem(key, value);
    } catch (error) {
      view.dispose();
      if (!(error instanceof StorageFailure) || error.name !== "QuotaExceededError") throw error;
      throw new StorageFailure(error.name, `What the area is to start with does not fit. ${error.message}`, error.numbers, error.code);
    }
  }

  #localAddress(): AreaAddress {
    if (this.#local === undefined) {
      const { storageDir, quota } = this.#options;
      const shared = quota === undefined ? { persistent: true, origin: this.origin } : { persistent: true, origin: this.origin, quota };
      this.#local = storageDir === undefined ? this.#server().privateArea(quota) : shared;
    }
    return this.#local;
  }

  #server(): AreaHost {
    if (this.#host === undefined) {
      const { storageDir, mode = "mirrored", timeout = 10_000, server } = this.#options;
      this.#host = acquireHost({ program: locateServer(server), storageDir, mode, timeout });
    }
    return this.#host;
  }
}

/**
 * Creates `localStorage` and `sessionStorage` for a document. Nothing is started before the first
 * access to an item.
 */
export function createWebStorage(options?: WebStorageOptions): WebStorage {
  return new WebStorage(options);
}
