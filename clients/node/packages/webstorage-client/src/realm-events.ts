import type * as dom from "./dom.js";
import type { StorageInterface } from "./realm-storage.js";

/** Makes a `StorageEvent`; the dictionary is the HTML standard's `StorageEventInit`. */
export type StorageEventConstructor = new (type: string, init?: dom.StorageEventInit) => dom.StorageEvent;

/**
 * Defines the `StorageEvent` interface of the realm this function is evaluated in, on top of that
 * realm's `Event`. Its source text is compiled again inside other realms, so it must not refer to
 * anything outside of its own body.
 */
export function defineStorageEvent(
  BaseEvent: typeof Event,
  { isStorage, isOfAnotherRealm }: Pick<StorageInterface, "isStorage" | "isOfAnotherRealm">,
): StorageEventConstructor {
  function nullableString(value: unknown): string | null {
    return value === null || value === undefined ? null : `${value as string}`;
  }
  function nullableStorage(value: unknown): dom.Storage | null {
    if (value === null || value === undefined) return null;
    if (!isStorage(value)) {
      const hint = isOfAnotherRealm(value) ? " It belongs to another realm (another window, vm context or library): use the StorageEvent of that one." : "";
      throw new TypeError(`Failed to convert value to 'Storage'.${hint}`);
    }
    return value as dom.Storage;
  }
  function scalarString(value: unknown): string {
    return `${value as string}`.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  }
  function dictionary(value: unknown): Record<string, unknown> {
    if (value === null || value === undefined) return {};
    if (typeof value !== "object" && typeof value !== "function") {
      throw new TypeError("Failed to construct 'StorageEvent': The provided value is not of type 'StorageEventInit'.");
    }
    return value as Record<string, unknown>;
  }

  class StorageEvent extends BaseEvent {
    #key: string | null;
    #oldValue: string | null;
    #newValue: string | null;
    #url: string;
    #storageArea: dom.Storage | null;

    constructor(type: string, eventInitDict = {}) {
      if (arguments.length === 0) {
        throw new TypeError("Failed to construct 'StorageEvent': 1 argument required, but only 0 present.");
      }
      const name = `${type}`;
      const init = dictionary(eventInitDict);
      super(name, init);
      this.#key = nullableString(init.key);
      this.#newValue = nullableString(init.newValue);
      this.#oldValue = nullableString(init.oldValue);
      this.#storageArea = nullableStorage(init.storageArea);
      this.#url = init.url === undefined ? "" : scalarString(init.url);
    }
    get key(): string | null {
      return this.#key;
    }
    get oldValue(): string | null {
      return this.#oldValue;
    }
    get newValue(): string | null {
      return this.#newValue;
    }
    get url(): string {
      return this.#url;
    }
    get storageArea(): dom.Storage | null {
      return this.#storageArea;
    }
    initStorageEvent(type: string, ...rest: unknown[]): void {
      if (arguments.length === 0) {
        throw new TypeError("Failed to execute 'initStorageEvent' on 'StorageEvent': 1 argument required, but only 0 present.");
      }
      const [bubbles, cancelable, key, oldValue, newValue, url, storageArea] = rest;
      const name = `${type}`;
      const members = [nullableString(key), nullableString(oldValue), nullableString(newValue)] as const;
      const address = url === undefined ? "" : scalarString(url);
      const area = nullableStorage(storageArea);
      // The standard's dispatch flag: while listeners hear of an event, it stays what it is.
      if (this.eventPhase !== 0) return;
      this.initEvent(name, Boolean(bubbles), Boolean(cancelable));
      [this.#key, this.#oldValue, this.#newValue] = members;
      this.#url = address;
      this.#storageArea = area;
    }
  }

  for (const name of ["key", "oldValue", "newValue", "url", "storageArea", "initStorageEvent"]) {
    Object.defineProperty(StorageEvent.prototype, name, { enumerable: true });
  }
  Object.defineProperty(StorageEvent.prototype, Symbol.toStringTag, { value: "StorageEvent", configurable: true });
  return StorageEvent as unknown as StorageEventConstructor;
}

/** Makes a `QuotaExceededError`. */
export type QuotaExceededErrorConstructor = new (
  message?: string,
  options?: { quota?: number; requested?: number },
) => DOMException & { readonly quota: number | null; readonly requested: number | null };

/**
 * Defines WebIDL's `QuotaExceededError` on top of a realm's `DOMException`, for realms that have no
 * class of that name yet. Its source text is compiled again inside other realms, so it must not refer
 * to anything outside of its own body.
 */
export function defineQuotaExceededError(Base: typeof DOMException): QuotaExceededErrorConstructor {
  function limit(value: unknown, member: string): number | null {
    if (value === undefined) return null;
    const number = Number(value);
    if (!Number.isFinite(number)) {
      throw new TypeError(`Failed to construct 'QuotaExceededError': Failed to read the '${member}' property: The provided double value is non-finite.`);
    }
    if (number < 0) throw new RangeError(`Failed to construct 'QuotaExceededError': ${member} must not be negative.`);
    return number;
  }

  class QuotaExceededError extends Base {
    #quota: number | null;
    #requested: number | null;

    constructor(message = "", options: { quota?: number; requested?: number } = {}) {
      super(message, "QuotaExceededError");
      // Some realms have a DOMException without the legacy codes; 22 is the one of this error.
      if (!("code" in this)) Object.defineProperty(this, "code", { value: 22 });
      this.#quota = limit(options?.quota, "quota");
      this.#requested = limit(options?.requested, "requested");
      if (this.#quota !== null && this.#requested !== null && this.#requested < this.#quota) {
        throw new RangeError("Failed to construct 'QuotaExceededError': requested must not be less than quota.");
      }
    }
    get quota(): number | null {
      return this.#quota;
    }
    get requested(): number | null {
      return this.#requested;
    }
  }

  for (const name of ["quota", "requested"]) {
    Object.defineProperty(QuotaExceededError.prototype, name, { enumerable: true });
  }
  Object.defineProperty(QuotaExceededError.prototype, Symbol.toStringTag, { value: "QuotaExceededError", configurable: true });
  return QuotaExceededError as unknown as QuotaExceededErrorConstructor;
}
