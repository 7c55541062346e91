import { OPERATIONS, type Change, type Operation } from "./area.js";
import type * as dom from "./dom.js";
import { closedFailure, StorageFailure } from "./failure.js";
import type { View, ViewOwner } from "./observer.js";
import { checkOptions, checkValue, kind, oneOf, type Kind, type Kinds } from "./options.js";
import type { RealmInterfaces } from "./realm.js";
import { outOfContext, setImmediate } from "./runtime.js";
import { isEntries, type Entries, type Snapshot } from "./state.js";
import { StorageSlot } from "./storage-slot.js";

/** Which of a document's two areas. */
export type AreaName = "localStorage" | "sessionStorage";

/** How a failure on demand is narrowed down. */
export interface FailOptions {
  /** Only this area; both otherwise. */
  area?: AreaName;
  /** Only operations on this key, or on keys that match. */
  key?: string | RegExp;
  /** How many operations fail; 1 by default. */
  times?: number;
  /** The message of the exception. */
  message?: string;
}

// An area is emptied before it is filled, so that the whole content has to be right.
const SNAPSHOT: Kind = {
  expected: "what snapshot() returned",
  fits: (value) => isEntries((value as Snapshot | null)?.localStorage) && isEntries((value as Snapshot).sessionStorage),
};

const FAIL_OPTIONS: Kinds<FailOptions> = {
  area: oneOf("localStorage", "sessionStorage"),
  key: kind.pattern,
  times: kind.times,
  message: kind.string,
};

/** What a window needs from the storage it belongs to. */
export interface WindowParts {
  interfaces: RealmInterfaces;
  target: EventTarget;
  origin: string;
  url: string;
  emitSelf: boolean;
  strict: boolean;
  openLocal(owner: ViewOwner): View;
  openSession(owner: ViewOwner): View;
  /** Called when the window was closed. */
  closed(window: StorageWindow): void;
}

/** A document with Web Storage: what `window` is in a browser, as far as storage is concerned. */
export class StorageWindow {
  readonly url: string;
  /** Where storage events are dispatched. */
  readonly target: dom.StorageEventTarget;
  readonly #parts: WindowParts;
  readonly #slots: Record<AreaName, StorageSlot>;
  readonly #objects: Record<AreaName, dom.Storage>;
  #epoch = 0;
  #closed = false;

  constructor(parts: WindowParts) {
    this.#parts = parts;
    this.url = parts.url;
    this.target = parts.target as dom.StorageEventTarget;
    const slotFor = (name: AreaName, open: (owner: ViewOwner) => View) =>
      new StorageSlot(
        () => open({ url: parts.url, emitSelf: parts.emitSelf, deliver: (change) => this.#dispatch(change, this.#objects[name]) }),
        { strict: parts.strict, exceptionFor: parts.interfaces.exceptionFor },
      );
    this.#slots = {
      localStorage: slotFor("localStorage", parts.openLocal),
      sessionStorage: slotFor("sessionStorage", parts.openSession),
    };
    this.#objects = {
      localStorage: parts.interfaces.createStorage(this.#slots.localStorage),
      sessionStorage: parts.interfaces.createStorage(this.#slots.sessionStorage),
    };
  }

  get localStorage(): dom.Storage {
    return this.#object("localStorage");
  }

  get sessionStorage(): dom.Storage {
    return this.#object("sessionStorage");
  }

  #object(name: AreaName): dom.Storage {
    if (this.#parts.origin === "null") {
      throw this.#exception("SecurityError", `Failed to read the '${name}' property from 'Window': a document of an opaque origin has no storage. Give it a URL with a host.`);
    }
    return this.#objects[name];
  }

  #exception(name: string, message: string): unknown {
    return this.#parts.interfaces.exceptionFor(new StorageFailure(name, message));
  }

  /** Runs what needs the areas. Nothing of a closed window may open them again. */
  #guarded<T>(action: () => T): T {
    return this.#parts.interfaces.guarded(() => {
      if (this.#closed) throw closedFailure();
      return action();
    });
  }

  /** Makes the next operations of a kind fail with an exception of the given name, or with the given error. */
  failNext(operation: Operation, error: string | Error, options: FailOptions = {}): void {
    // A failure that never comes would make a test pass that means to see one.
    checkOptions("failNext", options, FAIL_OPTIONS);
    checkValue("failNext", "the operation", operation, oneOf(...OPERATIONS));
    checkValue("failNext", "the error", error, kind.error);
    const { area, key, times = 1, message } = options;
    const text = message ?? `Failed to execute '${operation}' on 'Storage': this failure was asked for by the test.`;
    this.#guarded(() => {
      for (const name of ["localStorage", "sessionStorage"] as const) {
        if (area !== undefined && area !== name) continue;
        this.#slots[name].fail({ operation, key, times, error: () => (typeof error === "string" ? this.#exception(error, text) : error) });
      }
    });
  }

  /** Forgets the failures that were asked for and did not happen yet. */
  forgetFaults(): void {
    this.#guarded(() => {
      this.#slots.localStorage.forgetFaults();
      this.#slots.sessionStorage.forgetFaults();
    });
  }

  /** The items of both areas. */
  snapshot(): Snapshot {
    return this.#guarded(() => ({
      localStorage: this.#slots.localStorage.open().entries(),
      sessionStorage: this.#slots.sessionStorage.open().entries(),
    }));
  }

  /**
   * Makes both areas what they were in a snapshot. No event is sent within this process, and events
   * that wait for their task are dropped.
   */
  restore(snapshot: Snapshot): void {
    checkValue("restore", "the argument", snapshot, SNAPSHOT);
    this.#guarded(() => {
      this.#epoch++;
      this.#slots.localStorage.open().replaceAll(snapshot.localStorage);
      this.#slots.sessionStorage.open().replaceAll(snapshot.sessionStorage);
    });
  }

  /** The same as `restore`, for areas that were used; an area nobody touched needs nothing. Mocks on the objects are gone. */
  reset(snapshot: Snapshot): void {
    this.#guarded(() => {
      this.#epoch++;
      this.forgetFaults();
      for (const object of Object.values(this.#objects)) this.#parts.interfaces.removeMocks(object);
      this.#slots.localStorage.opened?.replaceAll(snapshot.localStorage);
      this.#slots.sessionStorage.opened?.replaceAll(snapshot.sessionStorage);
    });
  }

  /** Hears of the changes of other processes from now on, as the first use of an item does otherwise. */
  hear(): void {
    this.#guarded(() => this.#slots.localStorage.open());
  }

  /** The items of the session area, for a window that this one opens. */
  sessionEntries(): Entries {
    return this.#guarded(() => this.#slots.sessionStorage.open().entries());
  }

  /** Lets go of both areas; the objects and everything else that needs the areas throw from now on. */
  close(): void {
    this.#epoch++;
    this.#closed = true;
    this.#parts.closed(this);
    const views = [this.#slots.localStorage, this.#slots.sessionStorage].map((slot) =>
      slot.retire(() => {
        throw closedFailure();
      }),
    );
    this.#parts.interfaces.guarded(() => {
      for (const view of views) view?.dispose();
    });
  }

  /** Each event is a task of its own, as the HTML standard queues them. */
  #dispatch(change: Change, storageArea: dom.Storage): void {
    const epoch = this.#epoch;
    const task = () => {
      if (epoch !== this.#epoch) return;
      this.target.dispatchEvent(new this.#parts.interfaces.StorageEvent("storage", { ...change, storageArea }));
    };
    // Whoever made the change, also in this process, is another document.
    outOfContext(() => setImmediate(task));
  }
}
