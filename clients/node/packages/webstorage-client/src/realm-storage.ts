import type { Area } from "./area.js";
import type * as dom from "./dom.js";

/** What a `Storage` object is bound to; replacing `area` rebinds the object. */
export interface Slot {
  area: Area;
  /** True until something needed the area's content, so that probes of test runners start nothing. */
  idle: boolean;
  /** Takes no function for a mock: whatever is put on the name of a member becomes an item. */
  readonly strict: boolean;
  /** Every item in key order, for who looks at the object; no fault that was asked for is used up. May throw. */
  entries(): [string, string][];
  /** The realm's exception for an error thrown by the area. */
  exceptionFor(error: unknown): unknown;
}

/** The `Storage` interface of one realm. */
export interface StorageInterface {
  Storage: { new (): dom.Storage; readonly prototype: dom.Storage };
  createStorage(slot: Slot): dom.Storage;
  isStorage(value: unknown): boolean;
  /** Whether a value is a `Storage` of another realm, for messages. */
  isOfAnotherRealm(value: unknown): boolean;
  /** Takes the mocks off an object that stand on the names of members. */
  removeMocks(storage: dom.Storage): void;
}

/**
 * Defines the `Storage` interface object of the realm this function is evaluated in.
 *
 * The source text of this function is compiled again inside the realms of tests, because
 * `instanceof`, `toThrow(TypeError)` and the prototypes of functions tell realms apart. Therefore it
 * must not refer to anything outside of its own body.
 */
export function defineStorage(): StorageInterface {
  // Jest looks for this name in every global of every test file, which must not start anything.
  const PROBED = "_isMockFunction";
  const TAG: typeof Symbol.toStringTag = Symbol.toStringTag;
  const slots = new WeakMap<object, Slot>();
  const removals = new WeakMap<object, () => void>();
  let lastObject: unknown;
  let lastSlot: Slot | undefined;

  // Programs call long runs of methods on one object, so the last one is kept beside the map.
  function slotOf(object: unknown): Slot {
    if (object === lastObject) return lastSlot!;
    const slot = typeof object === "object" && object !== null ? slots.get(object) : undefined;
    if (slot === undefined) {
      const hint = ": this Storage belongs to another realm (another window, vm context or library). Call the method of its own class.";
      throw new TypeError(`Illegal invocation${isOfAnotherRealm(object) ? hint : ""}`);
    }
    lastObject = object;
    lastSlot = slot;
    return slot;
  }

  // Realms have classes of their own, whose objects look alike. Prototypes do too, but have a constructor.
  function isOfAnotherRealm(object: unknown): boolean {
    if (typeof object !== "object" || object === null || object instanceof Storage) return false;
    return Object.prototype.toString.call(object) === "[object Storage]" && !Object.prototype.hasOwnProperty.call(object, "constructor");
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
        throw slot.exceptionFor(error);
      }
    },
    clear(): void {
      const slot = slotOf(this);
      try {
        slot.area.clear();
      } catch (error) {
        throw slot.exceptionFor(error);
      }
    },
    getItem(key: unknown): string | null {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("getItem", 1, 0);
      const name = typeof key === "string" ? key : `${key as string}`;
      try {
        return slot.area.getItem(name);
      } catch (error) {
        throw slot.exceptionFor(error);
      }
    },
    key(index: unknown): string | null {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("key", 1, 0);
      const position = (index as number) >>> 0;
      try {
        return slot.area.key(position);
      } catch (error) {
        throw slot.exceptionFor(error);
      }
    },
    removeItem(key: unknown): void {
      const slot = slotOf(this);
      if (arguments.length === 0) requireArguments("removeItem", 1, 0);
      const name = typeof key === "string" ? key : `${key as string}`;
      try {
        slot.area.removeItem(name);
      } catch (error) {
        throw slot.exceptionFor(error);
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
        throw slot.exceptionFor(error);
      }
    },
  };

  const prototype = Storage.prototype;
  // Interface objects list their members first and `constructor` last.
  delete (prototype as { constructor?: unknown }).constructor;
  Object.defineProperties(prototype, Object.getOwnPropertyDescriptors(members));
  Object.defineProperty(prototype, "constructor", { value: Storage, writable: true, enumerable: false, configurable: true });
  Object.defineProperty(prototype, Symbol.toStringTag, { value: "Storage", writable: false, enumerable: false, configurable: true });

  // The functions of libraries for tests, by what they carry: Jest's, Vitest's and Bun's mocks; Sinon's spies, stubs
  // and fakes; those of node:test.
  function isMock(value: unknown): boolean {
    if (typeof value !== "function") return false;
    const { _isMockFunction, isSinonProxy, restore, mock } = value as unknown as {
      [flag in "_isMockFunction" | "isSinonProxy"]?: unknown;
    } & { restore?: { sinon?: unknown } | null; mock?: object | null };
    if (_isMockFunction === true || isSinonProxy === true || restore?.sinon === true) return true;
    return mock?.constructor?.name === "MockFunctionContext";
  }

  function inherited(target: object, property: string): PropertyDescriptor {
    for (let object = Reflect.getPrototypeOf(target); object !== null; object = Reflect.getPrototypeOf(object)) {
      const descriptor = Reflect.getOwnPropertyDescriptor(object, property);
      if (descriptor !== undefined) return descriptor;
    }
    return {};
  }

  function handlerFor(slot: Slot, target: object, self: () => object): ProxyHandler<object> {
    // What a member was that a mock has replaced, also after the mock is gone: it may be put back once more.
    const replaced = new Map<string, unknown>();
    let shown: string[] | undefined;

    // WebIDL makes an item of whatever is put on the name of a member. A mock is there to be called instead, so it
    // becomes a property of the object, which no enumeration shows.
    function replacesMember(property: string, { value, get, set }: PropertyDescriptor): boolean {
      if (slot.strict || !(isMock(value) || isMock(get) || isMock(set))) return false;
      const member = inherited(target, property);
      if (property === "__proto__") return false;
      return typeof member.value === "function" ? isMock(value) : member.get !== undefined && !isMock(value);
    }
    function replaceMember(property: string, descriptor: PropertyDescriptor): boolean {
      if (!replaced.has(property)) {
        const { value, get } = inherited(target, property);
        replaced.set(property, value ?? get);
      }
      if (descriptor.configurable === false) return Reflect.defineProperty(target, property, descriptor);
      const kept = "value" in descriptor ? { writable: true } : {};
      return Reflect.defineProperty(target, property, { ...kept, ...descriptor, enumerable: false, configurable: true });
    }
    // Putting the member back means that a mock is gone. It is no item, also if the mock was taken off before.
    function putsBack(property: string, { value, get }: PropertyDescriptor): boolean {
      const given: unknown = value ?? get;
      if (typeof given !== "function" || !replaced.has(property)) return false;
      const member = inherited(target, property);
      return given === replaced.get(property) || given === (member.value ?? member.get);
    }
    removals.set(target, () => {
      for (const property of replaced.keys()) Reflect.deleteProperty(target, property);
    });

    // `util.inspect` and the differences that `assert` prints pass by the traps of a proxy and list the properties of
    // its target, but read the target's tag before. Then the items are there until the object is used again.
    function show(): string {
      conceal();
      shown = [];
      try {
        for (const [key, value] of slot.entries()) {
          if (key in target) continue;
          Reflect.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
          shown.push(key);
        }
      } catch {
        // Whoever prints an object wants to see what there is, and no exception.
      }
      return "Storage";
    }
    function conceal(): void {
      for (const key of shown ?? []) Reflect.deleteProperty(target, key);
      shown = undefined;
    }
    Reflect.defineProperty(target, TAG, { get: show, enumerable: false, configurable: true });
    /** Whether a property is the one that shows the items, which the object does not have for anybody else. */
    function isHook(property: PropertyKey): boolean {
      return property === TAG && Reflect.getOwnPropertyDescriptor(target, TAG)?.get === show;
    }

    function guarded<T>(action: () => T): T {
      try {
        return action();
      } catch (error) {
        throw slot.exceptionFor(error);
      }
    }
    // Properties are read in long runs, where a closure for each would be the greater part of the cost.
    function item(property: string): string | null {
      try {
        return slot.area.getItem(property);
      } catch (error) {
        throw slot.exceptionFor(error);
      }
    }
    // The target that the traps are called with is the one that is known here; `get` is quickest with its argument.
    return {
      get(target, property, receiver) {
        if (shown !== undefined) conceal();
        if (typeof property === "symbol") {
          const holder = isHook(property) ? Reflect.getPrototypeOf(target) : target;
          return holder === null ? undefined : (Reflect.get(holder, property, receiver) as unknown);
        }
        if (property in target) return Reflect.get(target, property, receiver) as unknown;
        if (slot.idle && property === PROBED) return undefined;
        return item(property) ?? undefined;
      },
      set(_, property, value: unknown, receiver) {
        if (shown !== undefined) conceal();
        if (typeof property === "symbol" || receiver !== self()) {
          // For another receiver the standard leaves the items out of account.
          const holder = isHook(property) ? Reflect.getPrototypeOf(target) : target;
          return Reflect.set(holder ?? {}, property, value, receiver);
        }
        if (property in target) {
          if (putsBack(property, { value })) return Reflect.deleteProperty(target, property);
          if (replacesMember(property, { value })) return replaceMember(property, { value });
        }
        const text = typeof value === "string" ? value : `${value as string}`;
        guarded(() => slot.area.setItem(property, text));
        return true;
      },
      has(_, property) {
        if (shown !== undefined) conceal();
        if (isHook(property)) return Reflect.has(Reflect.getPrototypeOf(target) ?? {}, property);
        if (property in target) return true;
        if (slot.idle && property === PROBED) return false;
        return typeof property === "string" && item(property) !== null;
      },
      deleteProperty(_, property) {
        if (shown !== undefined) conceal();
        if (isHook(property)) return true;
        if (typeof property === "string" && !(property in target) && item(property) !== null) {
          guarded(() => slot.area.removeItem(property));
          return true;
        }
        return Reflect.deleteProperty(target, property);
      },
      getOwnPropertyDescriptor(_, property) {
        if (shown !== undefined) conceal();
        if (isHook(property)) return undefined;
        if (typeof property === "string" && !(property in target)) {
          const value = item(property);
          return value === null ? undefined : { value, writable: true, enumerable: true, configurable: true };
        }
        return Reflect.getOwnPropertyDescriptor(target, property);
      },
      defineProperty(_, property, descriptor) {
        if (shown !== undefined) conceal();
        if (isHook(property)) Reflect.deleteProperty(target, property);
        if (typeof property === "symbol") return Reflect.defineProperty(target, property, descriptor);
        if (putsBack(property, descriptor)) return Reflect.deleteProperty(target, property);
        if (replacesMember(property, descriptor)) return replaceMember(property, descriptor);
        if (Object.prototype.hasOwnProperty.call(target, property)) return Reflect.defineProperty(target, property, descriptor);
        // WebIDL refuses what is no data descriptor.
        if (!("value" in descriptor || "writable" in descriptor)) return false;
        // A proxy must not claim success for a property that cannot be reconfigured and is not there.
        if (descriptor.configurable === false) return false;
        const text = `${descriptor.value as string}`;
        guarded(() => slot.area.setItem(property, text));
        return true;
      },
      ownKeys() {
        if (shown !== undefined) conceal();
        const keys: PropertyKey[] = guarded(() => slot.area.keys()).filter((key) => !(key in target));
        for (const key of Reflect.ownKeys(target)) if (!isHook(key)) keys.push(key);
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
      proxy = new Proxy(target, handlerFor(slot, target, () => proxy));
      slots.set(proxy, slot);
      removals.set(proxy, removals.get(target)!);
      return proxy as unknown as dom.Storage;
    },
    isStorage(value) {
      return typeof value === "object" && value !== null && slots.has(value);
    },
    isOfAnotherRealm,
    removeMocks(storage) {
      removals.get(storage)?.();
    },
  };
}
