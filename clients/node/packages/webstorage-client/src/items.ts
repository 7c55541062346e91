const BLOCK_BITS = 8;

/**
 * The keys by position. A removed key leaves a hole, and the living keys of every block of 256
 * positions are counted, so that neither a removal nor `at(n)` after one walks over all keys.
 */
class KeyIndex {
  #slots: (string | undefined)[];
  #slotOf = new Map<string, number>();
  #living: number[] = [];
  #count: number;

  constructor(keys: Iterable<string>) {
    this.#slots = [...keys];
    this.#count = this.#slots.length;
    this.#slots.forEach((key, slot) => {
      this.#slotOf.set(key as string, slot);
      this.#living[slot >> BLOCK_BITS] = (this.#living[slot >> BLOCK_BITS] ?? 0) + 1;
    });
  }

  /** True while holes are worth their walk; otherwise the index should be built anew. */
  get dense(): boolean {
    return this.#slots.length <= 2 * this.#count + 512;
  }

  append(key: string): void {
    const slot = this.#slots.push(key) - 1;
    this.#slotOf.set(key, slot);
    this.#living[slot >> BLOCK_BITS] = (this.#living[slot >> BLOCK_BITS] ?? 0) + 1;
    this.#count++;
  }

  remove(key: string): void {
    const slot = this.#slotOf.get(key) as number;
    this.#slotOf.delete(key);
    this.#slots[slot] = undefined;
    this.#living[slot >> BLOCK_BITS]--;
    this.#count--;
  }

  at(position: number): string | undefined {
    if (position >= this.#count) return undefined;
    if (this.#slots.length === this.#count) return this.#slots[position];
    let block = 0;
    let left = position;
    while (left >= this.#living[block]) left -= this.#living[block++];
    for (let slot = block << BLOCK_BITS; ; slot++) {
      const key = this.#slots[slot];
      if (key !== undefined && left-- === 0) return key;
    }
  }
}

/** The items of an area in insertion order, with their usage: two bytes for each UTF-16 unit. */
export class Items {
  #values = new Map<string, string>();
  #usage = 0;
  // Most programs never ask for key(n), so the index is built for the first one that does.
  #index: KeyIndex | undefined;

  get length(): number {
    return this.#values.size;
  }

  get usage(): number {
    return this.#usage;
  }

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  key(position: number): string | null {
    if (this.#index === undefined || !this.#index.dense) {
      if (position >= this.#values.size) return null;
      this.#index = new KeyIndex(this.#values.keys());
    }
    return this.#index.at(position) ?? null;
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  entries(): IterableIterator<[string, string]> {
    return this.#values.entries();
  }

  /** Stores an item; a key that is there keeps its place. `old` is its value, if it is known. */
  set(key: string, value: string, old: string | undefined = this.#values.get(key)): void {
    if (old === undefined) {
      this.#usage += 2 * (key.length + value.length);
      this.#index?.append(key);
    } else {
      this.#usage += 2 * (value.length - old.length);
    }
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    const old = this.#values.get(key);
    if (old === undefined) return false;
    this.#usage -= 2 * (key.length + old.length);
    this.#values.delete(key);
    this.#index?.remove(key);
    return true;
  }

  clear(): void {
    this.#values.clear();
    this.#usage = 0;
    this.#index = undefined;
  }
}
