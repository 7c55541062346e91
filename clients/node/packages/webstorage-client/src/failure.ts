/** The numbers behind a `QuotaExceededError`, in bytes (two for each UTF-16 unit). */
export interface QuotaNumbers {
  quota: number;
  /** What would be in use if the write had been made. */
  requested: number;
  /** What is in use. */
  usage: number;
}

/**
 * An error on its way to a realm: it becomes a `DOMException` of that realm with the same name and
 * message. The names are those of the server's errors (`QuotaExceededError`, `SecurityError`,
 * `NotSupportedError`, `InvalidStateError`, `TimeoutError`, `UnknownError`, …).
 */
export class StorageFailure extends Error {
  /** Set for a `QuotaExceededError` whose numbers are known. */
  readonly numbers: QuotaNumbers | undefined;
  /** The JSON-RPC error code, if the server sent one. */
  readonly code: number | undefined;

  constructor(name: string, message: string, numbers?: QuotaNumbers, code?: number) {
    super(message);
    this.name = name;
    this.numbers = numbers;
    this.code = code;
  }
}

/** The failure of whatever needs a storage or a window that was closed. */
export function closedFailure(): StorageFailure {
  return new StorageFailure("InvalidStateError", "This storage was closed. Nothing was read or stored. Create a new one.");
}

/** Where an exception of a realm keeps the numbers that the standard leaves out of it. */
export const quotaNumbers: unique symbol = Symbol.for("webstorage-client.quotaNumbers") as never;

/** The failure of a write that does not fit; nothing was changed. */
export function quotaFailure(key: string, numbers: QuotaNumbers): StorageFailure {
  const name = key.length > 40 ? `${key.slice(0, 40)}…` : key;
  return new StorageFailure(
    "QuotaExceededError",
    `Setting the value of '${name}' exceeded the quota: ${numbers.requested} bytes would be in use, ${numbers.quota} are allowed, ${numbers.usage} are in use now. ` +
      "Nothing was changed. Remove items, or raise the quota where the storage is created.",
    numbers,
  );
}

/** The failure of a program that did something else than to answer what it was asked first. */
export function notAServer(program: string, did: string, complaint: string): StorageFailure {
  return new StorageFailure(
    "UnknownError",
    `The storage server ${program} ${did} before it answered.${complaint === "" ? "" : ` It said: ${complaint}`} Nothing was read or stored. ` +
      `Check that it is a webstorage-server for this client ('${program} --version' tells), and correct the option 'server', WEBSTORAGE_SERVER or PATH otherwise.`,
  );
}

/** A JSON-RPC error as the server sends it. */
export interface RpcError {
  code: number;
  message: string;
  data?: unknown;
}

/** The failure that a JSON-RPC error stands for. */
export function failureFrom(error: RpcError): StorageFailure {
  const data = typeof error.data === "object" && error.data !== null ? (error.data as Record<string, unknown>) : {};
  const name = typeof data.name === "string" ? data.name : error.code === -32601 ? "NotSupportedError" : "UnknownError";
  // The server speaks of the flag it was started with, which programs give as an option.
  const message = error.message.replaceAll("--storage-dir", "the option storageDir");
  const { quota, requested, usage } = data;
  if (typeof quota === "number" && typeof requested === "number" && typeof usage === "number") {
    return new StorageFailure(name, message, { quota, requested, usage }, error.code);
  }
  return new StorageFailure(name, message, undefined, error.code);
}
