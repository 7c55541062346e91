/** The descriptor of a member, own or inherited. */
function memberOf(object: object, name: string): PropertyDescriptor | undefined {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    const descriptor = Object.getOwnPropertyDescriptor(holder, name);
    if (descriptor !== undefined) return descriptor;
  }
  return undefined;
}

/**
 * Calls `start` when somebody begins to listen to the storage events of a target, by a listener or, where the target
 * has it, by `onstorage`. Nobody can be asked who listens, so the members of the target are replaced by ones that
 * notice. Returns what puts them back.
 */
export function atListening(target: EventTarget, start: () => void): () => void {
  const replaced = new Map<string, PropertyDescriptor | undefined>();
  function replace(name: string, descriptor: PropertyDescriptor): void {
    replaced.set(name, Object.getOwnPropertyDescriptor(target, name));
    Object.defineProperty(target, name, { ...descriptor, configurable: true });
  }

  const { addEventListener } = target;
  replace("addEventListener", {
    writable: true,
    enumerable: Object.getOwnPropertyDescriptor(target, "addEventListener")?.enumerable ?? false,
    value: function (this: unknown, ...args: unknown[]): void {
      Reflect.apply(addEventListener, this, args);
      if (args[0] === "storage") start();
    },
  });

  const handler = memberOf(target, "onstorage");
  if (handler !== undefined) {
    let kept: unknown = handler.value;
    replace("onstorage", {
      enumerable: handler.enumerable ?? true,
      get: () => (handler.get === undefined ? kept : (Reflect.apply(handler.get, target, []) as unknown)),
      set: (value: unknown) => {
        if (handler.set === undefined) kept = value;
        else Reflect.apply(handler.set, target, [value]);
        if (typeof value === "function") start();
      },
    });
  }

  return () => {
    for (const [name, descriptor] of replaced) {
      if (descriptor === undefined) Reflect.deleteProperty(target, name);
      else Object.defineProperty(target, name, descriptor);
    }
  };
}
