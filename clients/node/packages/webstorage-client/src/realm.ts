import type * as dom from "./dom.js";
import { quotaNumbers, StorageFailure } from "./failure.js";
import { defineQuotaExceededError, defineStorageEvent, type QuotaExceededErrorConstructor, type StorageEventConstructor } from "./realm-events.js";
import { isContext, runInContext } from "./runtime.js";
import { defineStorage, type Slot, type StorageInterface } from "./realm-storage.js";

/** The interfaces of Web Storage in one realm. */
export interface RealmInterfaces {
  Storage: StorageInterface["Storage"];
  StorageEvent: StorageEventConstructor;
  QuotaExceededError: QuotaExceededErrorConstructor;
  createStorage(slot: Slot): dom.Storage;
  /** Takes the mocks off an object that stand on the names of members. */
  removeMocks(storage: dom.Storage): void;
  /** An event target that takes the realm's events. */
  createTarget(): EventTarget;
  /** The realm's exception for an error thrown by an area. */
  exceptionFor(error: unknown): unknown;
  /** Runs what may throw a failure, of which the realm's exception is made. */
  guarded<T>(action: () => T): T;
}

type Global = Record<string, unknown>;

/** The classes of one realm. Those that extend another one depend on it: test runners put windows over the globals. */
interface RealmClasses {
  storage: StorageInterface;
  events: WeakMap<object, StorageEventConstructor>;
  errors: WeakMap<object, QuotaExceededErrorConstructor>;
}

// A realm may have several copies of this package, and its host another one. All use the classes that the first has
// defined; the number changes with the shape of what they share.
const CLASSES = Symbol.for("webstorage-client.classes.1");

/** The realm's classes, defined if there are none yet. */
function classesOf(global: object): RealmClasses {
  const existing = Object.getOwnPropertyDescriptor(global, CLASSES)?.value as RealmClasses | undefined;
  if (existing !== undefined) return existing;
  const classes = { storage: compiledIn(global, defineStorage)(), events: new WeakMap(), errors: new WeakMap() };
  // A global object that takes nothing has classes for each storage.
  Reflect.defineProperty(global, CLASSES, { value: classes, configurable: true });
  return classes;
}

/** Lets the next storage of the realm define classes anew, for tests that left functions of theirs on the prototypes. */
export function forgetClasses(global: object): void {
  Reflect.deleteProperty(global, CLASSES);
}

/** The function, compiled in the realm that `global` is the global object of. */
function compiledIn<F>(global: object, definition: F): F {
  if (global === globalThis) return definition;
  const source = `(${String(definition)})`;
  if (isContext(global)) return runInContext(source, global) as F;
  const RealmFunction = (global as Global).Function;
  if (typeof RealmFunction !== "function" || RealmFunction === Function) return definition;
  return (RealmFunction as FunctionConstructor)(`return ${source};`)() as F;
}

/**
 * Defines the interfaces in the realm of `global`: a global object, a vm context or a window.
 * `DOMException`, `Event` and, where it exists, `QuotaExceededError` are that realm's own.
 */
export function interfacesIn(global: object): RealmInterfaces {
  const { storage, events, errors } = classesOf(global);
  const members = global as Global;
  const Exception = (members.DOMException ?? DOMException) as typeof DOMException;
  const BaseEvent = (members.Event ?? Event) as typeof Event;
  const Target = (members.EventTarget ?? EventTarget) as typeof EventTarget;
  // A window put over the globals of a newer Node has that one's class, but a DOMException of its own.
  const existing = members.QuotaExceededError as QuotaExceededErrorConstructor | undefined;
  const own = existing?.prototype instanceof Exception ? existing : errors.get(Exception);
  const QuotaExceededError = own ?? compiledIn(global, defineQuotaExceededError)(Exception);
  errors.set(Exception, QuotaExceededError);

  function exceptionFor(error: unknown): unknown {
    if (!(error instanceof StorageFailure)) return error;
    if (error.name !== "QuotaExceededError") return new Exception(error.message, error.name);
    const exception = new QuotaExceededError(error.message);
    Object.defineProperty(exception, quotaNumbers, { value: error.numbers });
    return exception;
  }

  function guarded<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw exceptionFor(error);
    }
  }

  const { Storage, createStorage, removeMocks } = storage;
  const StorageEvent = events.get(BaseEvent) ?? compiledIn(global, defineStorageEvent)(BaseEvent, storage);
  events.set(BaseEvent, StorageEvent);
  return { Storage, StorageEvent, QuotaExceededError, createStorage, removeMocks, exceptionFor, guarded, createTarget: () => new Target() };
}
