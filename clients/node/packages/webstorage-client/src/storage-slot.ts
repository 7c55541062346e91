import type { Area, Operation } from "./area.js";
import type { View } from "./observer.js";
import type { Slot } from "./realm-storage.js";

/** A failure that waits for an operation. */
export interface Fault {
  operation: Operation;
  /** Only operations on this key, or on keys that match. */
  key?: string | RegExp | undefined;
  /** How many operations fail. */
  times: number;
  /** Makes what is thrown. */
  error(): unknown;
}

/** An area that looks at every operation before it reaches the real one. */
class CheckedArea implements Area {
  readonly #real: () => Area;
  readonly #check: (operation: Operation, key?: string) => void;

  constructor(real: () => Area, check: (operation: Operation, key?: string) => void) {
    this.#real = real;
    this.#check = check;
  }

  get length(): number {
    this.#check("length");
    return this.#real().length;
  }

  key(index: number): string | null {
    this.#check("key");
    return this.#real().key(index);
  }

  keys(): string[] {
    this.#check("keys");
    return this.#real().keys();
  }

  getItem(key: string): string | null {
    this.#check("getItem", key);
    return this.#real().getItem(key);
  }

  setItem(key: string, value: string): void {
    this.#check("setItem", key);
    this.#real().setItem(key, value);
  }

  removeItem(key: string): void {
    this.#check("removeItem", key);
    this.#real().removeItem(key);
  }

  clear(): void {
    this.#check("clear");
    this.#real().clear();
  }
}

/**
 * What a `Storage` object of a document is bound to. The area behind it is opened by the first
 * operation, and faults stand before it only while there are any, so that neither costs anything later.
 */
export class StorageSlot implements Slot {
  area: Area;
  idle = true;
  readonly strict: boolean;
  readonly exceptionFor: (error: unknown) => unknown;
  #start: () => View;
  #view: View | undefined;
  #faults: Fault[] = [];

  constructor(start: () => View, { strict, exceptionFor }: Pick<Slot, "strict" | "exceptionFor">) {
    this.#start = start;
    this.strict = strict;
    this.exceptionFor = exceptionFor;
    this.area = this.#suitableArea();
  }

  /** The document's hold on the area, if it was opened. */
  get opened(): View | undefined {
    return this.#view;
  }

  /** The document's hold on the area, opened if need be. */
  open(): View {
    if (this.#view === undefined) {
      this.#view = this.#start();
      this.idle = false;
      this.area = this.#suitableArea();
    }
    return this.#view;
  }

  entries(): [string, string][] {
    return this.open().entries();
  }

  /** Ends the slot: every later operation runs into `refuse`. Returns the hold on the area, for the caller to let go. */
  retire(refuse: () => never): View | undefined {
    const view = this.#view;
    this.#view = undefined;
    this.#faults = [];
    this.idle = false;
    this.#start = refuse;
    this.area = this.#suitableArea();
    return view;
  }

  fail(fault: Fault): void {
    this.#faults.push(fault);
    this.area = this.#suitableArea();
  }

  forgetFaults(): void {
    this.#faults = [];
    this.area = this.#suitableArea();
  }

  #suitableArea(): Area {
    if (this.#faults.length > 0) return new CheckedArea(() => this.open(), (operation, key) => this.#raise(operation, key));
    return this.#view ?? new CheckedArea(() => this.open(), () => undefined);
  }

  #raise(operation: Operation, key: string | undefined): void {
    const fault = this.#faults.find(
      (candidate) =>
        candidate.operation === operation &&
        (candidate.key === undefined || (key !== undefined && (typeof candidate.key === "string" ? candidate.key === key : candidate.key.test(key)))),
    );
    if (fault === undefined) return;
    fault.times--;
    if (fault.times === 0) {
      this.#faults = this.#faults.filter((candidate) => candidate !== fault);
      this.area = this.#suitableArea();
    }
    throw fault.error();
  }
}
