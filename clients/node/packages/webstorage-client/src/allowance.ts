import { now, queueMicrotask } from "./runtime.js";

// What may be stored unheard of by those who do not listen, such as a command line, in bytes.
const STRANGERS = 64 * 1024;
// The same for each process that listens, from the moment when a write is accepted here to that when it is stored,
// beside what it can have stored in the time since the server was asked. That is no more than RATE bytes in a
// millisecond: values of any size pass two servers and SQLite more slowly.
const UNHEARD = 2 * 1024 * 1024;
const RATE = 256 * 1024;
// A write that adds more than this, in bytes, waits for the server wherever there are others: a few of them could
// use all the room up, and handing over as much takes longer than the answer.
const LARGE = 16 * 1024;
// What the server has said is asked again by the first write of a turn, but no sooner than after this many milliseconds.
const FRESH = 1;

/** What the server says of the room in an area. */
export interface Room {
  quota: number;
  usage: number;
}

/**
 * How much a copy of an area may grow before the server has answered. A write is accepted at once only if it
 * still fits after everything that others can have stored meanwhile; the nearer the quota and the more there are
 * of them, the sooner a write has to wait for the server, which alone knows.
 */
export class Allowance {
  quota: number;
  /** The number of other processes that listen to the area, any of which may write. */
  others: number;
  readonly #ask: () => Room;
  /** What was free when the server was asked, less own growth since then. */
  #free = 0;
  #asked = -Infinity;
  #known = false;

  constructor(quota: number, others: number, ask: () => Room) {
    this.quota = quota;
    this.others = others;
    this.#ask = ask;
  }

  /** Whether an area that holds `usage` here can grow without waiting, and if so counts that it does. */
  take(usage: number, growth: number): boolean {
    if (this.others === 0) return usage + growth + STRANGERS <= this.quota;
    if (growth > LARGE) return false;
    const at = now();
    if (!this.#known) {
      this.#known = true;
      queueMicrotask(() => (this.#known = false));
      if (at - this.#asked > FRESH) this.#renew();
    }
    if (growth + this.others * UNHEARD > this.#free) return false;
    if (growth + this.#margin() > this.#free) {
      // The time is too long, and not the room too little.
      this.#renew();
      if (growth + this.#margin() > this.#free) return false;
    }
    this.#free -= growth;
    return true;
  }

  #margin(): number {
    return this.others * (UNHEARD + RATE * (now() - this.#asked));
  }

  #renew(): void {
    const { quota, usage } = this.#ask();
    this.quota = quota;
    this.#free = quota - usage;
    this.#asked = now();
  }
}
