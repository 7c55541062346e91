import { NotJson, parseJson, textIn, type Members } from "./json-file.js";
import { originOf } from "./origin.js";
import { resolve, toJson } from "./runtime.js";
import type { Entries, Seed, Snapshot } from "./state.js";

const FORMS = "a storageState of Playwright, an object with localStorage and sessionStorage, or items as an object or as pairs";
const AREAS = ["localStorage", "sessionStorage"] as const;

/** How the items of an area are written: `{key: value}` or `[[key, value]]`, or as Playwright does. */
type Form = "items" | "named";

/** The items of one area that lie together, and the way to them. */
interface List {
  at: string;
  items: Entries;
}

function isArray(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

/** An object whose properties are all there is to it, in whatever realm it was made. */
function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null || isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === null || Object.getPrototypeOf(prototype) === null || Object.prototype.toString.call(value) === "[object Storage]";
}

/** What a value is, for messages. */
function found(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") return String(value);
  if (isArray(value)) return "an array";
  if (typeof value !== "object") return `a ${typeof value}`;
  if (isPlain(value)) return "an object";
  const tag = Object.prototype.toString.call(value).slice("[object ".length, -1);
  const name = tag === "Object" ? ((value as { constructor?: { name?: string } }).constructor?.name ?? tag) : tag;
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

function shown(key: string): string {
  return toJson(key.length > 40 ? `${key.slice(0, 40)}…` : key);
}

/**
 * Reads a seed as the server reads what it imports: what is not fully understood is refused as a whole, and the
 * message names the entry. `members` tells what an object has; `name` is what the seed is called in messages.
 */
class Reader {
  readonly #name: string;
  readonly #members: (object: object) => Members;

  constructor(name: string, members: (object: object) => Members) {
    this.#name = name;
    this.#members = members;
  }

  /** What the document of an origin starts with. */
  read(seed: unknown, origin: string): Snapshot {
    if (isArray(seed)) return this.#only(seed);
    if (!isPlain(seed)) {
      // Maps, and what is made like them.
      const advice = typeof (seed as Partial<Map<string, string>> | null)?.get === "function" ? "; [...it] makes pairs of it" : "";
      throw this.#wrong("", `expected ${FORMS}, found ${found(seed)}${advice}`);
    }
    const members = this.#members(seed);
    if (members.some(([name, value]) => (name === "origins" || name === "cookies") && isArray(value))) return this.#storageState(members, origin);
    const byArea = members.length > 0 && members.every(([name, value]) => (AREAS as readonly string[]).includes(name) && (typeof value === "object" || value === undefined));
    if (!byArea) return this.#only(seed);
    const [localStorage, sessionStorage] = AREAS.map((name) => {
      const items = this.#once(members, name, "");
      return items === undefined ? [] : this.#united([this.#list(items, name, "items")]);
    });
    return { localStorage, sessionStorage };
  }

  #only(items: object): Snapshot {
    return { localStorage: this.#united([this.#list(items, "", "items")]), sessionStorage: [] };
  }

  #storageState(top: Members, origin: string): Snapshot {
    const entries = this.#once(top, "origins", "") ?? [];
    if (!isArray(entries)) throw this.#wrong("origins", `expected an array, found ${found(entries)}`);
    const own: Record<(typeof AREAS)[number], List[]> = { localStorage: [], sessionStorage: [] };
    const others = new Set<string>();
    let known = false;
    entries.forEach((entry: unknown, index) => {
      const at = `origins[${index}]`;
      if (!isPlain(entry)) throw this.#wrong(at, `expected an object, found ${found(entry)}`);
      const members = this.#members(entry);
      const of = this.#origin(members, at);
      if (of === origin) known = true;
      for (const name of AREAS) {
        const items = this.#once(members, name, at);
        if (items === undefined) continue;
        const list = this.#list(items, `${at}.${name}`, "named");
        if (name === "localStorage" && of === "null" && list.items.length > 0) throw this.#wrong(`${at}.origin`, "an opaque origin has no local storage");
        if (of === origin) own[name].push(list);
        else if (list.items.length > 0) others.add(of);
      }
    });
    if (!known && others.size > 0) {
      const names = [...others].slice(0, 3).join(", ") + (others.size > 3 ? ", …" : "");
      throw new TypeError(`${this.#name} has items of ${names} and nothing of ${origin}, whose storage this is. Nothing was stored. Name the right one in the option url or origin, or leave the seed out.`);
    }
    return { localStorage: this.#united(own.localStorage), sessionStorage: this.#united(own.sessionStorage) };
  }

  #origin(members: Members, at: string): string {
    const written = this.#once(members, "origin", at);
    if (written === undefined) throw this.#wrong(`${at}.origin`, "missing");
    if (typeof written !== "string") throw this.#wrong(`${at}.origin`, `expected a string, found ${found(written)}`);
    if (written !== "null" && !URL.canParse(written)) throw this.#wrong(`${at}.origin`, `expected an origin such as "https://example.com", found ${shown(written)}`);
    return originOf(written);
  }

  #list(items: unknown, at: string, form: Form): List {
    if (form === "named") {
      if (!isArray(items)) throw this.#wrong(at, `expected an array of {name, value} with strings, found ${found(items)}`);
      return { at, items: items.map((item: unknown, index) => this.#namedItem(item, `${at}[${index}]`)) };
    }
    if (isArray(items)) return { at, items: items.map((item: unknown, index) => this.#pair(item, `${at}[${index}]`)) };
    if (!isPlain(items)) throw this.#wrong(at, `expected an object of strings or pairs of strings, found ${found(items)}`);
    const members = this.#members(items);
    return { at, items: members.map(([key, value]) => [key, this.#text(value, `${at}[${shown(key)}]`)]) };
  }

  #namedItem(item: unknown, at: string): Entries[number] {
    if (!isPlain(item)) throw this.#wrong(at, `expected an object, found ${found(item)}`);
    const members = this.#members(item);
    const [name, value] = ["name", "value"].map((part) => {
      const text = this.#once(members, part, at);
      if (text === undefined) throw this.#wrong(`${at}.${part}`, "missing");
      return this.#text(text, `${at}.${part}`);
    });
    return [name, value];
  }

  #pair(item: unknown, at: string): Entries[number] {
    if (!isArray(item) || item.length !== 2) throw this.#wrong(at, `expected a pair of strings, found ${isArray(item) ? `an array of ${item.length}` : found(item)}`);
    return [this.#text(item[0], `${at}[0]`), this.#text(item[1], `${at}[1]`)];
  }

  #text(value: unknown, at: string): string {
    if (typeof value === "string") return value;
    throw this.#wrong(at, `expected a string, found ${found(value)}`);
  }

  /** The member of this name, which must not be there twice. */
  #once(members: Members, name: string, at: string): unknown {
    const [first, second] = members.filter(([other]) => other === name);
    if (second !== undefined) throw this.#wrong(at === "" ? name : `${at}.${name}`, "it is there twice");
    return first?.[1];
  }

  /** The items of lists of one area together. One that is there twice counts once. */
  #united(lists: List[]): Entries {
    const seen = new Map<string, string>();
    for (const { at, items } of lists) {
      for (const [key, value] of items) {
        const before = seen.get(key);
        if (before !== undefined && before !== value) throw this.#wrong(at, `the key ${shown(key)} has two values; each key can have one`);
        if (before === undefined) seen.set(key, value);
      }
    }
    return [...seen];
  }

  #wrong(entry: string, message: string): TypeError {
    return new TypeError(`${this.#name} is wrong${entry === "" ? "" : ` at ${entry}`}: ${message}. Nothing was stored.`);
  }
}

/** The content that a seed gives to the document of an origin. A string is the path of a file. */
export function snapshotOf(seed: Seed | undefined, origin: string): Snapshot {
  if (seed === undefined) return { localStorage: [], sessionStorage: [] };
  if (typeof seed !== "string") return new Reader("The option seed", (object) => Object.entries(object)).read(seed, origin);
  const path = resolve(seed);
  let json: ReturnType<typeof parseJson>;
  try {
    json = parseJson(textIn(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = error instanceof NotJson ? message : code === "ENOENT" ? "does not exist" : `cannot be read (${message})`;
    throw new Error(`The option seed names the file ${path}, which ${why}; expected a JSON file with ${FORMS}. Nothing was stored.`, { cause: error });
  }
  return new Reader(`The file ${path} of the option seed`, json.members).read(json.value, origin);
}
