import { checkOptions, kind, type Kinds } from "./options.js";
import type { RealmInterfaces } from "./realm.js";
import type { StorageWindow } from "./storage-window.js";

/** Options of `install`. */
export interface InstallOptions {
  /** Gives a global object without event methods those of the document's target; true by default. */
  eventMethods?: boolean;
}

const OPTIONS: Kinds<InstallOptions> = { eventMethods: kind.flag };
const EVENT_METHODS = ["addEventListener", "removeEventListener", "dispatchEvent"] as const;

/** `onstorage` as HTML's event handler attributes work: one listener that can be replaced. */
function handlerAttribute(target: EventTarget): PropertyDescriptor {
  let handler: unknown = null;
  const listener = (event: Event) => {
    if (typeof handler === "function") Reflect.apply(handler, target, [event]);
  };
  return {
    configurable: true,
    enumerable: true,
    get: () => handler,
    set: (value: unknown) => {
      if (handler === null) target.addEventListener("storage", listener);
      handler = typeof value === "function" ? value : null;
      if (handler === null) target.removeEventListener("storage", listener);
    },
  };
}

/**
 * Puts the storage of a window on a global object. The storage objects are accessors: test runners
 * walk over the values of globals at the end of a file, and must not meet stored items there.
 * Returns what undoes it.
 */
export function installOn(
  global: object,
  interfaces: Pick<RealmInterfaces, "Storage" | "StorageEvent" | "QuotaExceededError">,
  window: StorageWindow,
  options: InstallOptions = {},
): () => void {
  checkOptions("install", options, OPTIONS);
  const before = new Map<string, PropertyDescriptor | undefined>();
  function define(name: string, descriptor: PropertyDescriptor): void {
    before.set(name, Object.getOwnPropertyDescriptor(global, name));
    Object.defineProperty(global, name, { configurable: true, ...descriptor });
  }
  define("localStorage", { enumerable: true, get: () => window.localStorage });
  define("sessionStorage", { enumerable: true, get: () => window.sessionStorage });
  define("Storage", { writable: true, value: interfaces.Storage });
  define("StorageEvent", { writable: true, value: interfaces.StorageEvent });
  if ((global as { QuotaExceededError?: unknown }).QuotaExceededError !== interfaces.QuotaExceededError) define("QuotaExceededError", { writable: true, value: interfaces.QuotaExceededError });
  if (options.eventMethods !== false && !("addEventListener" in global)) {
    const { target } = window;
    for (const name of EVENT_METHODS) {
      define(name, { enumerable: true, writable: true, value: (target[name] as (...args: unknown[]) => unknown).bind(target) });
    }
    define("onstorage", handlerAttribute(target));
  }
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) Reflect.deleteProperty(global, name);
      else Object.defineProperty(global, name, descriptor);
    }
  };
}
