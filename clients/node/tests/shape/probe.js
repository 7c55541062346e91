// This file runs unchanged in Chromium and in every realm the client supports, so it uses nothing
// but the language and the window it is given.
(function () {
  "use strict";

  const MEMBERS = ["length", "key", "getItem", "setItem", "removeItem", "clear"];
  const METHODS = ["key", "getItem", "setItem", "removeItem", "clear"];
  const INHERITED = ["constructor", "toString", "valueOf", "hasOwnProperty", "__proto__", "isPrototypeOf"];
  const ODD_NAMES = ["", "0", "1", "-1", "01", "4294967295", "a b", "\u0000", "\ud800", "\udc00x", "é", "\u2028", "undefined", "null", "NaN"];
  const ODD_VALUES = [undefined, null, true, false, 0, -0, 1.5, NaN, Infinity, 10n, "", "\ud800", [], [1, [2]], {}];

  function text(value) {
    return JSON.stringify(value);
  }

  function describe(value, window) {
    if (value === null) return "null";
    if (typeof value === "string") return "string " + text(value);
    if (typeof value === "bigint") return "bigint " + value;
    if (typeof value === "number") return Object.is(value, -0) ? "number -0" : "number " + value;
    if (typeof value === "symbol") return "symbol " + String(value.description);
    if (value === window.localStorage) return "localStorage";
    if (value === window.Storage) return "Storage";
    if (value === window.Storage.prototype) return "Storage.prototype";
    if (typeof value === "function") return "function " + value.name + "/" + value.length;
    if (Array.isArray(value)) return "[" + value.map((item) => describe(item, window)).join(", ") + "]";
    if (typeof value === "object") {
      return "{" + Reflect.ownKeys(value).map((key) => String(key) + ": " + describe(value[key], window)).join(", ") + "}";
    }
    return String(value);
  }

  function describeError(error, window) {
    if (error instanceof window.DOMException) return "throws DOMException " + error.name + " " + error.code;
    for (const name of ["TypeError", "RangeError", "SyntaxError", "Error"]) {
      if (error instanceof window.evaluate(name)) return "throws " + name;
    }
    return "throws something of another realm: " + error;
  }

  function collect(window) {
    const results = Object.create(null);
    const storage = window.localStorage;
    function probe(name, action) {
      storage.clear();
      let outcome;
      try {
        outcome = describe(action(storage), window);
      } catch (error) {
        outcome = describeError(error, window);
      }
      if (name in results) throw new Error("two probes are named " + name);
      results[name] = outcome;
      for (const own of Reflect.ownKeys(storage)) {
        try {
          delete storage[own];
        } catch {
          // What cannot be deleted is part of a later outcome, which is what the record is for.
        }
      }
      storage.clear();
    }
    interfaceProbes(window, probe);
    methodProbes(window, probe);
    conversionProbes(window, probe);
    namedPropertyProbes(window, probe);
    memberNameProbes(window, probe);
    objectProbes(window, probe);
    receiverProbes(window, probe);
    eventProbes(window, probe);
    quotaProbes(window, probe);
    return results;
  }

  function interfaceProbes(window, probe) {
    const { Storage } = window;
    probe("interface object", () => Object.getOwnPropertyDescriptor(Storage, "prototype").value);
    for (const name of ["length", "name", "prototype"]) {
      probe("interface object: " + name, () => Object.getOwnPropertyDescriptor(Storage, name));
    }
    probe("interface object: own keys", () => Reflect.ownKeys(Storage).sort());
    probe("interface object: typeof", () => typeof Storage);
    probe("interface object: inherits", () => Object.getPrototypeOf(Storage) === window.evaluate("Function.prototype"));
    probe("interface object: new", () => new Storage());
    probe("interface object: call", () => Storage());
    probe("interface object: Reflect.construct", () => Reflect.construct(Storage, [], window.evaluate("Object")));
    probe("interface object: subclass", () => new (class extends Storage {})());
    probe("prototype: own keys", () => Reflect.ownKeys(Storage.prototype).map(String));
    probe("prototype: inherits", () => Object.getPrototypeOf(Storage.prototype) === window.evaluate("Object.prototype"));
    probe("prototype: toString", () => Object.prototype.toString.call(Storage.prototype));
    for (const key of Reflect.ownKeys(Storage.prototype)) {
      probe("prototype: descriptor of " + String(key), () => {
        const descriptor = Object.getOwnPropertyDescriptor(Storage.prototype, key);
        return key === "constructor" ? { ...descriptor, value: descriptor.value === Storage } : descriptor;
      });
    }
    for (const method of METHODS) {
      probe("method " + method + ": new", () => new Storage.prototype[method]());
      probe("method " + method + ": own keys", () => Reflect.ownKeys(Storage.prototype[method]).sort());
      probe("method " + method + ": realm", () => Object.getPrototypeOf(Storage.prototype[method]) === window.evaluate("Function.prototype"));
      probe("method " + method + ": is native", () => /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(Storage.prototype[method])) || "source");
    }
    const length = Object.getOwnPropertyDescriptor(Storage.prototype, "length").get;
    probe("length getter", () => [length.name, length.length, "prototype" in length]);
    probe("object: prototype", (storage) => Object.getPrototypeOf(storage) === Storage.prototype);
    probe("object: instanceof", (storage) => storage instanceof Storage);
    probe("object: typeof", (storage) => typeof storage);
    probe("object: toString", (storage) => Object.prototype.toString.call(storage));
    probe("object: String", (storage) => String(storage));
    probe("object: constructor", (storage) => storage.constructor === Storage);
  }

  function methodProbes(window, probe) {
    const { Storage } = window;
    const wrong = [undefined, null, 1, "text", {}, [], Storage.prototype, Object.create(window.localStorage), Object.create(Storage.prototype)];
    for (const method of METHODS) {
      probe("brand of " + method, () => wrong.map((receiver) => {
        try {
          Reflect.apply(Storage.prototype[method], receiver, ["0", "1"]);
          return "accepted";
        } catch (error) {
          return describeError(error, window);
        }
      }));
      for (let count = 0; count < 3; count++) {
        probe(method + " with " + count + " arguments", (storage) => {
          const result = storage[method](...["a", "b"].slice(0, count));
          return [result, storage.length];
        });
      }
      probe("brand before argument count of " + method, () => Reflect.apply(Storage.prototype[method], {}, []));
    }
    const length = Object.getOwnPropertyDescriptor(Storage.prototype, "length").get;
    probe("brand of length", () => wrong.map((receiver) => {
      try {
        return length.call(receiver);
      } catch (error) {
        return describeError(error, window);
      }
    }));
    probe("prototype.length", () => Storage.prototype.length);
    probe("getItem of a missing key", (storage) => storage.getItem("missing"));
    probe("removeItem of a missing key", (storage) => storage.removeItem("missing"));
    probe("overwriting", (storage) => {
      storage.setItem("a", "1");
      storage.setItem("a", "2");
      return [storage.length, storage.getItem("a"), storage.key(0), storage.key(1)];
    });
    probe("many", (storage) => {
      for (let n = 0; n < 50; n++) storage.setItem("k" + n, String(n));
      const keys = [];
      for (let n = 0; n < storage.length; n++) keys.push(storage.key(n));
      return [storage.length, keys.sort().join(" "), Object.keys(storage).sort().join(" ") === keys.join(" ")];
    });
    probe("own keys follow key(n)", (storage) => {
      for (const key of ["b", "10", "a", "2", "1"]) storage.setItem(key, key);
      const keys = [];
      for (let n = 0; n < storage.length; n++) keys.push(storage.key(n));
      return Object.keys(storage).join() === keys.join();
    });
  }

  function conversionProbes(window, probe) {
    ODD_VALUES.forEach((value, n) => {
      const name = describe(value, window) + " #" + n;
      probe("value " + name, (storage) => (storage.setItem("k", value), storage.getItem("k")));
      probe("named value " + name, (storage) => ((storage.k = value), storage.getItem("k")));
      probe("key " + name, (storage) => (storage.setItem(value, "v"), [storage.getItem(value), storage.key(0)]));
      probe("key(" + name + ")", (storage) => (storage.setItem("only", ""), typeof value === "bigint" ? storage.key(value) : storage.key(value)));
    });
    probe("symbol as a key", (storage) => storage.setItem(Symbol("s"), ""));
    probe("symbol as a value", (storage) => storage.setItem("k", Symbol("s")));
    probe("symbol as an index", (storage) => storage.key(Symbol("s")));
    probe("order of conversions", (storage) => {
      const order = [];
      const spy = (name) => ({ toString: () => (order.push(name), name) });
      storage.setItem(spy("key"), spy("value"));
      return order;
    });
    probe("conversion that throws", (storage) => storage.setItem("k", { toString() { throw new (window.evaluate("RangeError"))("x"); } }));
    for (const index of [0, 1, 2, -1, 0.9, 1.9, -0.5, 4294967296, 4294967295, 2 ** 53, Infinity, -Infinity, NaN, "0", "1", "x", "", " 1 ", true, [], [1], {}]) {
      probe("key at " + describe(index, window), (storage) => {
        storage.setItem("a", "");
        const at = storage.key(index);
        return at;
      });
    }
    probe("key without integer conversion of null", (storage) => (storage.setItem("a", ""), storage.key(null)));
  }

  function namedPropertyProbes(window, probe) {
    for (const name of ODD_NAMES) {
      const label = "name " + text(name) + ": ";
      probe(label + "set and get", (storage) => ((storage[name] = "v"), [storage[name], storage.getItem(name), storage.length]));
      probe(label + "missing", (storage) => [storage[name], name in storage, Object.hasOwn(storage, name)]);
      probe(label + "descriptor", (storage) => (storage.setItem(name, "v"), Object.getOwnPropertyDescriptor(storage, name)));
      probe(label + "delete", (storage) => (storage.setItem(name, "v"), [Reflect.deleteProperty(storage, name), storage.length, Reflect.deleteProperty(storage, name)]));
      probe(label + "define", (storage) => [Reflect.defineProperty(storage, name, { value: "d" }), storage.getItem(name)]);
      probe(label + "keys", (storage) => (storage.setItem(name, "v"), Object.keys(storage)));
    }
    const descriptors = {
      empty: {},
      value: { value: "d" },
      "value, not writable": { value: "d", writable: false },
      "value, not enumerable": { value: "d", enumerable: false },
      "value, not configurable": { value: "d", configurable: false },
      "undefined value": { value: undefined },
      writable: { writable: true },
      enumerable: { enumerable: true },
      getter: { get: () => "g" },
      setter: { set() {} },
      "getter and configurable": { get: () => "g", configurable: true, enumerable: true },
      "number value": { value: 5 },
    };
    for (const name of Object.keys(descriptors)) {
      for (const existing of [false, true]) {
        probe("define " + name + (existing ? " over an item" : ""), (storage) => {
          if (existing) storage.setItem("p", "old");
          const defined = Reflect.defineProperty(storage, "p", descriptors[name]);
          return [defined, storage.getItem("p"), Object.getOwnPropertyDescriptor(storage, "p")];
        });
      }
      probe("Object.defineProperty with " + name, (storage) => Object.defineProperty(storage, "p", descriptors[name]) === storage);
      probe("define a symbol with " + name, (storage) => {
        const symbol = Symbol("s");
        const defined = Reflect.defineProperty(storage, symbol, { ...descriptors[name], configurable: true });
        return [defined, storage.length, Object.getOwnPropertyDescriptor(storage, symbol)];
      });
    }
    probe("symbol expando", (storage) => {
      const symbol = Symbol("s");
      storage[symbol] = 5;
      return [storage[symbol], storage.length, symbol in storage, Reflect.ownKeys(storage).length, delete storage[symbol], symbol in storage];
    });
    probe("symbol last", (storage) => {
      storage[Symbol("s")] = 5;
      storage.setItem("a", "");
      return Reflect.ownKeys(storage).map((key) => typeof key);
    });
    probe("for in", (storage) => {
      storage.setItem("x", "");
      const names = [];
      for (const name in storage) names.push(name);
      return names.sort();
    });
    probe("for in of an empty one", (storage) => {
      const names = [];
      for (const name in storage) names.push(name);
      return names.sort();
    });
    probe("entries", (storage) => (storage.setItem("x", "1"), Object.entries(storage)));
    probe("spread", (storage) => (storage.setItem("x", "1"), { ...storage }));
    probe("JSON", (storage) => (storage.setItem("x", "1"), storage.setItem("length", "2"), JSON.stringify(storage)));
    probe("Object.assign", (storage) => (Object.assign(storage, { a: 1, b: null }), [storage.getItem("a"), storage.getItem("b")]));
    probe("compound assignment", (storage) => ((storage.n = 1), (storage.n += 1), storage.n));
    probe("delete operator of a missing name", (storage) => delete storage.missing);
  }

  function memberNameProbes(window, probe) {
    for (const name of [...MEMBERS, ...INHERITED]) {
      const label = "member name " + name + ": ";
      probe(label + "setItem", (storage) => {
        const before = storage[name];
        storage.setItem(name, "v");
        return [storage.getItem(name), storage[name] === before || storage[name], Object.keys(storage), storage.key(0)];
      });
      probe(label + "assignment", (storage) => {
        const before = storage[name];
        storage[name] = "v";
        return [storage.getItem(name), storage[name] === before || storage[name], Object.keys(storage), Object.getPrototypeOf(storage) === window.Storage.prototype];
      });
      probe(label + "descriptor", (storage) => (storage.setItem(name, "v"), Object.getOwnPropertyDescriptor(storage, name)));
      probe(label + "in", (storage) => [name in storage, Object.hasOwn(storage, name), Reflect.has(storage, name)]);
      probe(label + "delete", (storage) => (storage.setItem(name, "v"), [Reflect.deleteProperty(storage, name), storage.getItem(name)]));
      probe(label + "define", (storage) => [Reflect.defineProperty(storage, name, { value: "d", configurable: true }), storage.getItem(name), typeof storage[name]]);
      probe(label + "define an accessor", (storage) => [Reflect.defineProperty(storage, name, { get: () => 1, configurable: true }), storage.getItem(name)]);
    }
    probe("an item that the prototype hides later", (storage) => {
      storage.setItem("later", "v");
      window.Storage.prototype.later = "p";
      const hidden = [storage.later, storage.getItem("later"), Object.keys(storage), Object.hasOwn(storage, "later")];
      delete window.Storage.prototype.later;
      return [hidden, storage.later];
    });
    probe("a setter of the prototype", (storage) => {
      let called = false;
      Object.defineProperty(window.Storage.prototype, "accessor", { configurable: true, get: () => "p", set() { called = true; } });
      storage.accessor = "v";
      const outcome = [called, storage.getItem("accessor"), storage.accessor];
      delete window.Storage.prototype.accessor;
      return outcome;
    });
    probe("a replaced method", (storage) => {
      const { getItem } = window.Storage.prototype;
      window.Storage.prototype.getItem = function (key) { return "spied " + Reflect.apply(getItem, this, [key]); };
      const outcome = storage.getItem("a");
      window.Storage.prototype.getItem = getItem;
      return outcome;
    });
  }

  function objectProbes(window, probe) {
    probe("isExtensible", (storage) => Object.isExtensible(storage));
    probe("Reflect.preventExtensions", (storage) => [Reflect.preventExtensions(storage), Object.isExtensible(storage)]);
    for (const name of ["preventExtensions", "seal", "freeze"]) {
      probe("Object." + name, (storage) => Object[name](storage) === storage);
      probe("Object." + name + " with an item", (storage) => (storage.setItem("a", ""), Object[name](storage) === storage));
    }
    probe("isFrozen and isSealed", (storage) => [Object.isFrozen(storage), Object.isSealed(storage)]);
    probe("setPrototypeOf to itself", (storage) => Reflect.setPrototypeOf(storage, window.Storage.prototype));
    probe("setPrototypeOf to null and back", (storage) => {
      storage.setItem("getItem", "v");
      const first = Reflect.setPrototypeOf(storage, null);
      const seen = [storage.getItem, Object.getPrototypeOf(storage)];
      const second = Reflect.setPrototypeOf(storage, window.Storage.prototype);
      return [first, seen, second, typeof storage.getItem];
    });
    probe("own keys of an empty one", (storage) => Reflect.ownKeys(storage));
    probe("own property names", (storage) => (storage.setItem("a", ""), storage.setItem("key", ""), Object.getOwnPropertyNames(storage)));
    probe("hasOwnProperty", (storage) => (storage.setItem("a", ""), [storage.hasOwnProperty("a"), storage.hasOwnProperty("getItem"), storage.propertyIsEnumerable("a")]));
    probe("valueOf", (storage) => storage.valueOf() === storage);
    probe("iteration", (storage) => [...storage]);
    probe("concat", (storage) => [].concat(storage).length);
    probe("call", (storage) => storage());
    probe("the same object", (storage) => storage === window.localStorage && storage !== window.sessionStorage);
    probe("two kinds apart", (storage) => {
      storage.setItem("a", "local");
      const session = window.sessionStorage.getItem("a");
      return session;
    });
  }

  function receiverProbes(window, probe) {
    probe("inherit: get an item", (storage) => (storage.setItem("a", "v"), Object.create(storage).a));
    probe("inherit: set", (storage) => {
      const child = Object.create(storage);
      child.a = "v";
      return [Object.hasOwn(child, "a"), child.a, storage.getItem("a")];
    });
    probe("inherit: set over an item", (storage) => {
      storage.setItem("a", "v");
      const child = Object.create(storage);
      child.a = "w";
      return [Object.hasOwn(child, "a"), child.a, storage.getItem("a")];
    });
    probe("inherit: method", (storage) => Object.create(storage).getItem("a"));
    probe("inherit: in", (storage) => (storage.setItem("a", "v"), "a" in Object.create(storage)));
    probe("Reflect.get with another receiver", (storage) => (storage.setItem("a", "v"), Reflect.get(storage, "a", {})));
    probe("Reflect.get of length with another receiver", (storage) => Reflect.get(storage, "length", {}));
    probe("Reflect.set with another receiver", (storage) => {
      const other = {};
      return [Reflect.set(storage, "a", "v", other), other.a, storage.getItem("a")];
    });
    probe("Reflect.set with another receiver over an item", (storage) => {
      storage.setItem("a", "v");
      const other = {};
      return [Reflect.set(storage, "a", "w", other), other.a, storage.getItem("a")];
    });
    probe("Reflect.set with a primitive receiver", (storage) => (storage.setItem("a", "v"), [Reflect.set(storage, "a", "w", 1), storage.getItem("a")]));
  }

  function eventProbes(window, probe) {
    const { StorageEvent, Event } = window;
    const attributes = ["key", "oldValue", "newValue", "url", "storageArea"];
    const read = (event) => [event.type, event.bubbles, event.cancelable, ...attributes.map((name) => event[name])];
    probe("StorageEvent: own keys", () => Reflect.ownKeys(StorageEvent).sort());
    probe("StorageEvent: length and name", () => [StorageEvent.length, StorageEvent.name]);
    probe("StorageEvent: inherits", () => [Object.getPrototypeOf(StorageEvent) === Event, Object.getPrototypeOf(StorageEvent.prototype) === Event.prototype]);
    probe("StorageEvent.prototype: own keys", () => Reflect.ownKeys(StorageEvent.prototype).map(String).sort());
    for (const name of attributes) {
      probe("StorageEvent: descriptor of " + name, () => {
        const { get, set, enumerable, configurable } = Object.getOwnPropertyDescriptor(StorageEvent.prototype, name);
        return [get.name, get.length, set, enumerable, configurable];
      });
      probe("StorageEvent: brand of " + name, () => StorageEvent.prototype[name]);
    }
    probe("StorageEvent: descriptor of initStorageEvent", () => Object.getOwnPropertyDescriptor(StorageEvent.prototype, "initStorageEvent"));
    probe("StorageEvent: toString", () => Object.prototype.toString.call(new StorageEvent("storage")));
    probe("StorageEvent: no arguments", () => new StorageEvent());
    probe("StorageEvent: call", () => StorageEvent("storage"));
    probe("StorageEvent: type only", () => read(new StorageEvent("storage")));
    probe("StorageEvent: null dictionary", () => read(new StorageEvent("storage", null)));
    probe("StorageEvent: undefined dictionary", () => read(new StorageEvent("storage", undefined)));
    probe("StorageEvent: number dictionary", () => new StorageEvent("storage", 1));
    probe("StorageEvent: string dictionary", () => new StorageEvent("storage", "x"));
    probe("StorageEvent: full", (storage) => read(new StorageEvent("storage", { bubbles: true, cancelable: true, key: "k", oldValue: "o", newValue: "n", url: "u", storageArea: storage })));
    probe("StorageEvent: conversions", () => read(new StorageEvent(1, { key: 1, oldValue: true, newValue: undefined, url: null })));
    probe("StorageEvent: lone surrogates", () => read(new StorageEvent("s", { key: "\ud800", url: "\ud800x\udc00\ud83d\ude00" })));
    for (const [name, area] of [["null", null], ["undefined", undefined], ["object", {}], ["number", 1], ["prototype", window.Storage.prototype]]) {
      probe("StorageEvent: storageArea " + name, () => read(new StorageEvent("storage", { storageArea: area })));
    }
    probe("StorageEvent: initStorageEvent", (storage) => {
      const event = new StorageEvent("a", { key: "x" });
      event.initStorageEvent("b", true, true, "k", "o", "n", "u", storage);
      return read(event);
    });
    probe("StorageEvent: initStorageEvent with a type only", () => {
      const event = new StorageEvent("a", { key: "x", url: "y", bubbles: true });
      event.initStorageEvent("b");
      return read(event);
    });
    probe("StorageEvent: initStorageEvent without arguments", () => new StorageEvent("a").initStorageEvent());
    probe("StorageEvent: initStorageEvent with a wrong area", () => new StorageEvent("a").initStorageEvent("b", false, false, null, null, null, "", {}));
    probe("StorageEvent: subclass", () => read(new (class extends StorageEvent {})("x", { key: "k" })));
  }

  function quotaProbes(window, probe) {
    const { QuotaExceededError, DOMException } = window;
    probe("QuotaExceededError: shape", () => [typeof QuotaExceededError, QuotaExceededError.name, QuotaExceededError.length]);
    probe("QuotaExceededError: inherits", () => [Object.getPrototypeOf(QuotaExceededError) === DOMException, Object.getPrototypeOf(QuotaExceededError.prototype) === DOMException.prototype]);
    probe("QuotaExceededError: prototype keys", () => Reflect.ownKeys(QuotaExceededError.prototype).map(String).sort());
    probe("QuotaExceededError: no arguments", () => {
      const error = new QuotaExceededError();
      return [error.name, error.message, error.code, error.quota, error.requested];
    });
    probe("QuotaExceededError: options", () => {
      const error = new QuotaExceededError("m", { quota: 1, requested: 2.5 });
      return [error.name, error.message, error.code, error.quota, error.requested];
    });
    for (const [name, options] of [["negative quota", { quota: -1 }], ["negative requested", { requested: -1 }], ["less than quota", { quota: 3, requested: 2 }], ["NaN", { quota: NaN }], ["text", { quota: "7" }], ["null", null]]) {
      probe("QuotaExceededError: " + name, () => new QuotaExceededError("m", options).quota);
    }
    // 5,242,880 units are what fits; the key counts as well.
    const limit = 5 * 1024 * 1024;
    const thrown = (action) => {
      try {
        action();
        return "no error";
      } catch (error) {
        return [error.name, error.code, error instanceof QuotaExceededError, error instanceof DOMException, error.quota, error.requested];
      }
    };
    probe("quota: exactly full", (storage) => (storage.setItem("k", "x".repeat(limit - 1)), storage.length));
    probe("quota: one too many", (storage) => [thrown(() => storage.setItem("k", "x".repeat(limit))), storage.length]);
    probe("quota: named", (storage) => [thrown(() => { storage.k = "x".repeat(limit); }), storage.length]);
    probe("quota: defined", (storage) => [thrown(() => Object.defineProperty(storage, "k", { value: "x".repeat(limit) })), storage.length]);
    probe("quota: wide characters count as units", (storage) => (storage.setItem("k", "é".repeat(limit - 1)), storage.length));
    probe("quota: failed overwrite keeps the old value", (storage) => {
      storage.setItem("k", "old");
      const error = thrown(() => storage.setItem("k", "x".repeat(limit)));
      return [error, storage.getItem("k")];
    });
    probe("quota: shrinking when full", (storage) => {
      storage.setItem("k", "x".repeat(limit - 1));
      storage.setItem("k", "small");
      return storage.getItem("k");
    });
    probe("quota: an empty item when full", (storage) => {
      storage.setItem("k", "x".repeat(limit - 1));
      return [thrown(() => storage.setItem("", "")), storage.length];
    });
  }

  return collect;
})();
