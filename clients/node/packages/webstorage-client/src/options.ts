import { toJson } from "./runtime.js";

/** What an option may be, in words and as a test. */
export interface Kind {
  expected: string;
  fits(value: unknown): boolean;
}

/** The kind of each option that an interface has. */
export type Kinds<Options> = Record<keyof Options, Kind>;

/** One of some strings. */
export function oneOf(...values: string[]): Kind {
  const quoted = values.map((value) => toJson(value));
  return { expected: `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`, fits: (value) => values.includes(value as string) };
}

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

/** The kinds that several interfaces use. */
export const kind = {
  anything: { expected: "anything", fits: () => true },
  text: { expected: "a string that is not empty", fits: isText },
  string: { expected: "a string", fits: (value) => typeof value === "string" },
  pattern: { expected: "a string or a regular expression", fits: (value) => typeof value === "string" || typeof (value as RegExp | null)?.test === "function" },
  flag: { expected: "true or false", fits: (value) => typeof value === "boolean" },
  bytes: { expected: "a number of bytes", fits: (value) => Number.isSafeInteger(value) && (value as number) >= 0 },
  milliseconds: { expected: "a number of milliseconds", fits: (value) => Number.isFinite(value) && (value as number) > 0 },
  times: { expected: "a whole number from 1", fits: (value) => Number.isSafeInteger(value) && (value as number) > 0 },
  error: {
    expected: "the name of an exception or an Error",
    fits: (value) => isText(value) || (typeof value === "object" && typeof (value as Error | null)?.message === "string"),
  },
  realm: { expected: "a global object", fits: (value) => (typeof value === "object" && value !== null) || typeof value === "function" },
  eventTarget: { expected: "an EventTarget", fits: (value) => typeof (value as Partial<EventTarget> | null)?.dispatchEvent === "function" },
  origin: { expected: 'an origin such as "https://example.com"', fits: (value) => value === "null" || (isText(value) && URL.canParse(value)) },
  url: { expected: 'an absolute URL such as "https://example.com/page"', fits: (value) => isText(value) && URL.canParse(value) },
  directoryOrNone: { expected: "the path of a directory, or false", fits: (value) => value === false || isText(value) },
} satisfies Record<string, Kind>;

function shown(value: unknown): string {
  if (typeof value === "function") return "a function";
  try {
    return toJson(value) ?? String(value);
  } catch {
    return "this value";
  }
}

/** Refuses a value of another kind; `what` is its name in the message. */
export function checkValue(owner: string, what: string, value: unknown, { expected, fits }: Kind): void {
  if (!fits(value)) throw new TypeError(`${owner}: ${what} must be ${expected}, not ${shown(value)}.`);
}

/**
 * Refuses options that do not exist or have a wrong value. Programs without a compiler learn of them here, not
 * by what they lead to; `owner` says whose options they are.
 */
export function checkOptions(owner: string, options: unknown, kinds: Record<string, Kind>): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${owner}: the options must be an object, not ${shown(options)}.`);
  }
  for (const [name, value] of Object.entries(options)) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) throw new TypeError(`${owner}: there is no option ${name}. Those that exist are ${Object.keys(kinds).join(", ")}.`);
    if (value !== undefined) checkValue(owner, `the option ${name}`, value, kind);
  }
}
