/** What an event of the server means for a copy of the area that is ahead of it. */
export type Verdict = "own" | "foreign" | "superseded";

/**
 * The own writes that a copy of an area already shows and whose events have not come back. Events come
 * in the order of the commits, own and foreign ones alike; while an own write on a key is on its way,
 * what others did to that key before is superseded.
 */
export class PendingWrites {
  #byKey = new Map<string, (string | null)[]>();
  #clears = 0;
  /** Keys this copy has put at its end and the server has not confirmed, in order. */
  #appended = new Set<string>();

  get empty(): boolean {
    return this.#clears === 0 && this.#byKey.size === 0;
  }

  /** The unconfirmed keys at the end of the copy; confirmed additions of others go before them. */
  get appended(): Iterable<string> {
    return this.#appended;
  }

  wrote(key: string, value: string | null, added: boolean): void {
    const queue = this.#byKey.get(key);
    if (queue === undefined) this.#byKey.set(key, [value]);
    else queue.push(value);
    if (added) {
      this.#appended.delete(key);
      this.#appended.add(key);
    } else if (value === null) {
      this.#appended.delete(key);
    }
  }

  cleared(): void {
    this.#clears++;
    this.#byKey.clear();
    this.#appended.clear();
  }

  /** Whether a clear by another document leaves the key alone, because it was written after it. */
  protects(key: string): boolean {
    return this.#byKey.has(key);
  }

  judge(key: string | null, newValue: string | null): Verdict {
    if (key === null) {
      if (this.#clears === 0) return "foreign";
      this.#clears--;
      return "own";
    }
    if (this.#clears > 0) return "superseded";
    const queue = this.#byKey.get(key);
    if (queue === undefined) return "foreign";
    if (queue[0] !== newValue) return "superseded";
    queue.shift();
    if (queue.length === 0) {
      this.#byKey.delete(key);
      this.#appended.delete(key);
    }
    return "own";
  }

  forget(): void {
    this.#byKey.clear();
    this.#appended.clear();
    this.#clears = 0;
  }
}
