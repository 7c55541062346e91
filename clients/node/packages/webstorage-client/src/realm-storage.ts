import type { Area } from "./area.js";
import type * as dom from "./dom.js";

/** The area that a `Storage` object works on; replacing `area` rebinds the object. */
export interface Slot {
  area: Area;
  /** True until something needed the area's content, so that probes of test runners start nothing. */
  idle: boolean;
}

/** What the realm's code asks of its host. */
export interface RealmSettings {
  /** Follows WebIDL to the letter: what is put on the name of a member becomes an item. */
  strict: boolean;
  /** The realm's exception for an error thrown by an area. */
  exceptionFor(error: unknown): unknown;
}

/** The `Storage` interface of one realm. */
export interface StorageInterface {
  Storage: { new (): dom.Storage; readonly prototype: dom.Storage };
  createStorage(slot: Slot): dom.Storage;
  isStorage(value: unknown): boolean;
}

/**
 * Defines the `Storage` interface object of the realm this function is evaluated in.
 *
 * The source text of this function is compiled again inside the realms of tests, because
 * `instanceof`, `toThrow(TypeError)` and the prototypes of functions tell realms apart. Therefore it
 * must not refer to anything outside of its own body.
 */
export function defineStorage(settings: RealmSettings): StorageInterface {
  // Jest looks for this name in every global of every test file, which must not start anything.
  const PROBED = "_isMockFunction";
  const slots = new WeakMap<object, Slot>();
  let lastObject: unknown;
  let lastSlot: Slot | undefined;

  // Programs call long runs of methods on one object, so the last one is kept beside the map.
  function slotOf(object: unknown): Slot {
    if (object === lastObject) return lastSlot!;
    const slot = typeof object === "object" && object !== null ? slots.get(object) : undefined;
    if (slot === undefined) throw new TypeError("Illegal invocation");
    lastObject = object;
    lastSlot = slot;
    return slot;
  }

  function requireArguments(method: string, required: number, given: number): void {
    if (given >= required) return;
    throw new TypeError(
      `Failed to execute '${method}' on 'Storage': ${required} argument${required === 1 ? "" : "s"} required, but only ${given} present.`,
    );
  }

  class Storage {
    constructor() {
      throw new TypeError("Illegal constructor");
    }
  }

  const members = {
    get length(): number {
      const slot = slotOf(this);
      try {
        return slot.area.length;
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
    clear(): void {
      const slot = slotOf(this);
      try {
        slot.area.clear();
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
    getItem(key: unknown): string | null {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("getItem", 1, 0);
      const name = typeof key === "string" ? key : `${key as string}`;
      try {
        return slot.area.getItem(name);
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
    key(index: unknown): string | null {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("key", 1, 0);
      const position = (index as number) >>> 0;
      try {
        return slot.area.key(position);
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
    removeItem(key: unknown): void {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("removeItem", 1, 0);
      const name = typeof key === "string" ? key : `${key as string}`;
      try {
        slot.area.removeItem(name);
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
    setItem(key: unknown, value: unknown): void {
      const slot = slotOf(this);
      if (arguments.length < 2) requireArguments("setItem", 2, arguments.length);
      const name = typeof key === "string" ? key : `${key as string}`;
      const text = typeof value === "string" ? value : `${value as string}`;
      try {
        slot.area.setItem(name, text);
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    },
  };

  const prototype = Storage.prototype;
  // Interface objects list their members first and `constructor` last.
  delete (prototype as { constructor?: unknown }).constructor;
  Object.defineProperties(prototype, Object.getOwnPropertyDescriptors(members));
  Object.defineProperty(prototype, "constructor", { value: Storage, writable: true, enumerable: false, configurable: true });
  Object.defineProperty(prototype, Symbol.toStringTag, { value: "Storage", writable: false, enumerable: false, configurable: true });
  // Chromium lets an own property stand before an inherited member, which is what spies rely on. WebIDL
  // makes an item of it instead; `strict` asks for that.
  function ordinary(target: object, property: string): boolean {
    return settings.strict ? Object.prototype.hasOwnProperty.call(target, property) : property in target;
  }

  // Putting the inherited function back means that a spy is gone; as an own property it would go on
  // hiding spies on the prototype and appear in `Object.keys`.
  function putsBack(target: object, property: string, value: unknown): boolean {
    return (
      !settings.strict &&
      typeof value === "function" &&
      value === (prototype as unknown as Record<string, unknown>)[property] &&
      Object.prototype.hasOwnProperty.call(target, property)
    );
  }

  function handlerFor(slot: Slot, self: () => object): ProxyHandler<object> {
    function guarded<T>(action: () => T): T {
      try {
        return action();
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    }
    // Properties are read in long runs, where a closure for each would be the greater part of the cost.
    function item(property: string): string | null {
      try {
        return slot.area.getItem(property);
      } catch (error) {
        throw settings.exceptionFor(error);
      }
    }
    function getOwnPropertyDescriptor(target: object, property: PropertyKey): PropertyDescriptor | undefined {
      if (typeof property === "string" && !(property in target)) {
        const value = item(property);
        return value === null ? undefined : { value, writable: true, enumerable: true, configurable: true };
      }
      return Reflect.getOwnPropertyDescriptor(target, property);
    }
    function setOnOther(target: object, property: string, value: unknown, receiver: unknown): boolean {
      if (getOwnPropertyDescriptor(target, property) === undefined || property in target) {
        return Reflect.set(target, property, value, receiver);
      }
      if (typeof receiver !== "object" || receiver === null) return false;
      const existing = Reflect.getOwnPropertyDescriptor(receiver, property);
      if (existing === undefined) {
        return Reflect.defineProperty(receiver, property, { value, writable: true, enumerable: true, configurable: true });
      }
      return existing.writable === true && Reflect.defineProperty(receiver, property, { value });
    }
    return {
      get(target, property, receiver) {
        if (typeof property === "symbol" || property in target) return Reflect.get(target, property, receiver) as unknown;
        if (slot.idle && property === PROBED) return undefined;
        return item(property) ?? undefined;
      },
      set(target, property, value: unknown, receiver) {
        if (typeof property === "symbol") return Reflect.set(target, property, value, receiver);
        if (receiver !== self()) return setOnOther(target, property, value, receiver);
        if (putsBack(target, property, value)) return Reflect.deleteProperty(target, property);
        if (!settings.strict && property in target) return Reflect.set(target, property, value, receiver);
        const text = typeof value === "string" ? value : `${value as string}`;
        guarded(() => slot.area.setItem(property, text));
        return true;
      },
      has(target, property) {
        if (property in target) return true;
        if (slot.idle && property === PROBED) return false;
        return typeof property === "string" && item(property) !== null;
      },
      deleteProperty(target, property) {
        if (typeof property === "string" && !(property in target) && item(property) !== null) {
          guarded(() => slot.area.removeItem(property));
          return true;
        }
        return Reflect.deleteProperty(target, property);
      },
      getOwnPropertyDescriptor,
      defineProperty(target, property, descriptor) {
        if (typeof property === "symbol") return Reflect.defineProperty(target, property, descriptor);
        if (putsBack(target, property, descriptor.value)) return Reflect.deleteProperty(target, property);
        if (ordinary(target, property)) return Reflect.defineProperty(target, property, descriptor);
        // A proxy must not claim success for a property that cannot be reconfigured and is not there.
        if ("get" in descriptor || "set" in descriptor || descriptor.configurable === false) return false;
        const text = `${descriptor.value as string}`;
        guarded(() => slot.area.setItem(property, text));
        return true;
      },
      ownKeys(target) {
        const keys: PropertyKey[] = guarded(() => slot.area.keys()).filter((key) => !(key in target));
        for (const key of Reflect.ownKeys(target)) keys.push(key);
        return keys as (string | symbol)[];
      },
      preventExtensions() {
        return false;
      },
    };
  }

  return {
    Storage: Storage as unknown as StorageInterface["Storage"],
    createStorage(slot) {
      const target = Object.create(prototype) as object;
      let proxy: object = target;
      proxy = new Proxy(target, handlerFor(slot, () => proxy));
      slots.set(proxy, slot);
      return proxy as unknown as dom.Storage;
    },
    isStorage(value) {
      return typeof value === "object" && value !== null && slots.has(value);
    },
  };
}
