// What a storage starts with, and the states that are written of it. The server's import is the measure.
import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connect, createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";
import { runModule, temporaryDirectory } from "./processes.mjs";

const server = serverPath();
const ORIGIN = "https://xn--mnchen-3ya.test";

/** What a storage of the origin starts with, or the message of the refusal. */
function started(seed, origin = ORIGIN) {
  let storage;
  try {
    storage = createWebStorage({ server, origin, seed });
    return storage.snapshot().localStorage;
  } catch (error) {
    return error.message;
  } finally {
    storage?.close();
  }
}

const state = (...origins) => ({ cookies: [], origins });
const named = (...pairs) => pairs.map(([name, value]) => ({ name, value }));
const own = (items, origin = ORIGIN) => state({ origin, localStorage: items });

// The text of a file, and the items that are in it for the origin, or where it is wrong.
const FILES = [
  ["a byte order mark", '\ufeff{"a":"1"}', [["a", "1"]]],
  ["white space around", ' \n{"a":"1"}\n', [["a", "1"]]],
  ["names that look like numbers", '{"b":"1","10":"2","2":"3","__proto__":"4","a\\"b:":"5"}', [["b", "1"], ["10", "2"], ["2", "3"], ["__proto__", "4"], ['a"b:', "5"]]],
  ["lone surrogates", '{"\\ud800":"\\udc00"}', [["\ud800", "\udc00"]]],
  ["pairs", '[["2","b"],["1","a"]]', [["2", "b"], ["1", "a"]]],
  ["a long string", JSON.stringify({ a: `${"x".repeat(1_000_000)}\\"`.repeat(2) }), [["a", `${"x".repeat(1_000_000)}\\"`.repeat(2)]]],
  ["no item", "{}", []],
  ["cookies alone", '{"cookies":[]}', []],
  ["no origin", '{"cookies":[],"origins":[]}', []],
  ...["https://münchen.test", "https://xn--mnchen-3ya.test/", "https://xn--mnchen-3ya.test:443", "HTTPS://XN--MNCHEN-3YA.test", "https://xn--mnchen-3ya.test/page?q#f"].map(
    (origin) => [`the origin ${origin}`, JSON.stringify(own(named(["a", "1"]), origin)), [["a", "1"]]],
  ),
  ["a member twice in another place", '{"cookies":[],"cookies":[],"origins":[]}', []],
  ["an item twice", '[["a","1"],["a","1"]]', [["a", "1"]]],
  ["two entries of one origin", JSON.stringify(state({ origin: "https://münchen.test", localStorage: named(["b", "1"]) }, { origin: ORIGIN, localStorage: named(["a", "2"], ["b", "1"]) })), [["b", "1"], ["a", "2"]]],
  ["no JSON", "{", /is not JSON/],
  ["no text", "", /is not JSON/],
  ["a raw line feed in a string", '{"a":"\n"}', /is not JSON/],
  ["no UTF-8", Buffer.from('{"a":"\xff"}', "latin1"), /is not UTF-8/],
  ["null", "null", /found null/],
  ["a string", '"a"', /found a string/],
  ["a number as value", '{"a":1}', /at \["a"\]: expected a string, found 1/],
  ["null as value", '[["a",null]]', /at \[0\]\[1\]: expected a string, found null/],
  ["null as item", "[null]", /at \[0\]: expected a pair of strings, found null/],
  ["three strings", '[["a","1","2"]]', /at \[0\]: expected a pair of strings, found an array of 3/],
  ["null as origin", '{"origins":[null]}', /at origins\[0\]: expected an object, found null/],
  ["origins that are no list", '{"cookies":[],"origins":{}}', /at origins: expected an array, found an object/],
  ["an entry without origin", '{"origins":[{"localStorage":[]}]}', /at origins\[0\]\.origin: missing/],
  ["what is no origin", '{"origins":[{"origin":"a.test"}]}', /at origins\[0\]\.origin: expected an origin such as/],
  ["an opaque origin with items", JSON.stringify(own(named(["a", "1"]), "file:///page")), /at origins\[0\]\.origin: an opaque origin/],
  ["null for items", JSON.stringify(own(null)), /at origins\[0\]\.localStorage: expected an array of \{name, value\} with strings, found null/],
  ["a null item", JSON.stringify(own([null])), /at origins\[0\]\.localStorage\[0\]: expected an object, found null/],
  ["an item without value", JSON.stringify(own([{ name: "a" }])), /at origins\[0\]\.localStorage\[0\]\.value: missing/],
  ["a value that is no string", JSON.stringify(own(named(["a", 5]))), /at origins\[0\]\.localStorage\[0\]\.value: expected a string, found 5/],
  ["a wrong item of another origin", JSON.stringify(own([{ name: 1, value: "" }], "https://b.test")), /at origins\[0\]\.localStorage\[0\]\.name: expected a string, found 1/],
  ["two values of a key", '{"a":"1","a":"2"}', /the key "a" has two values/],
  ["a list of items twice", '{"origins":[],"origins":[]}', /at origins: it is there twice/],
];

describe("a file", () => {
  for (const [what, text, expected] of FILES) {
    test(`with ${what}`, async () => {
      const path = join(temporaryDirectory(), "seed.json");
      writeFileSync(path, text);
      const actual = started(path);
      if (expected instanceof RegExp) {
        assert.match(actual, expected);
        assert.ok(actual.includes(path) && actual.endsWith("Nothing was stored."), actual);
      } else {
        assert.deepEqual(actual, expected);
      }
      const connection = await connect({ server, storageDir: temporaryDirectory(), origin: ORIGIN });
      try {
        const imported = await connection
          .request("storage/import", () => ({ path }))
          .then(async () => (await (await connection.open({ persistent: true })).entries()).map(({ key, value }) => [key, value]), () => undefined);
        assert.deepEqual(imported, expected instanceof RegExp ? undefined : expected, "the server understands something else");
      } finally {
        await connection.close();
      }
    });
  }

  test("that cannot be read is named", () => {
    const directory = temporaryDirectory();
    assert.match(started(join(directory, "none.json")), /names the file \/.*none\.json, which does not exist; .* Nothing was stored\.$/);
    assert.match(started(directory), /which is no regular file;/);
  });
});

describe("a seed", () => {
  test("of other origins is refused with their names, unless they have nothing either", () => {
    assert.match(started(own(named(["a", "1"]), "https://B.test")), /The option seed has items of https:\/\/b\.test and nothing of https:\/\/xn--mnchen-3ya\.test/);
    assert.deepEqual(started(own([], "https://b.test")), []);
    assert.deepEqual(started(state({ origin: ORIGIN, localStorage: [] }, { origin: "https://b.test", localStorage: named(["a", "1"]) })), []);
    assert.match(started(own(named(["a", "1"]), "https://b.test"), "null"), /nothing of null/);
  });

  test("that is an object of a class is refused by its name", () => {
    class Settings {
      a = "1";
    }
    assert.match(started(new Map([["a", "1"]])), /found a Map; \[\.\.\.it\] makes pairs of it/);
    assert.deepEqual(started([...new Map([["a", "1"]])]), [["a", "1"]]);
    assert.match(started({ localStorage: new Map() }), /at localStorage: expected an object of strings or pairs of strings, found a Map/);
    assert.match(started(new Settings()), /found a Settings/);
    assert.match(started(new Date(0)), /found a Date/);
    assert.match(started(() => undefined), /found a function/);
    assert.match(started(null), /found null/);
    assert.match(started({ a: undefined }), /at \["a"\]: expected a string, found undefined/);
  });

  test("may be the storage of another document, or an object without a prototype", () => {
    const other = createWebStorage({ server, seed: { a: "1" } });
    assert.deepEqual(started(other.localStorage), [["a", "1"]]);
    other.close();
    assert.deepEqual(started(Object.assign(Object.create(null), { a: "1" })), [["a", "1"]]);
  });
});

/** Writes the state of a storage with one item. */
function write(path, options = {}) {
  const storage = createWebStorage({ server, seed: { token: "secret" }, ...options });
  try {
    return storage.storageState({ path });
  } finally {
    storage.close();
  }
}

describe("storageState in a file that exists", () => {
  const entry = { origin: "http://localhost", localStorage: named(["token", "secret"]), sessionStorage: [] };

  test("makes it its owner's alone and keeps what is not of the origin", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "user.json");
    const others = [{ origin: "https://a.test", localStorage: named(["a", "1"]) }, { origin: "https://b.test", localStorage: [], indexedDB: [{ name: "d" }] }];
    const cookies = [{ name: "sid", value: "x", expires: -1 }];
    const before = { cookies, origins: [others[0], { origin: "HTTP://localhost:80/", localStorage: named(["old", ""]), x: 1 }, others[1], { origin: "http://localhost/", localStorage: named(["older", ""]) }], y: "z" };
    writeFileSync(path, `\ufeff${JSON.stringify(before)}`);
    chmodSync(path, 0o644);
    const expected = { cookies, origins: [others[0], { ...entry, x: 1 }, others[1]], y: "z" };
    assert.deepEqual(write(path), expected);
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), expected);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(directory), ["user.json"]);
  });

  test("replaces it at once", () => {
    const path = join(temporaryDirectory(), "user.json");
    writeFileSync(path, "");
    const { ino } = statSync(path);
    write(path);
    assert.notEqual(statSync(path).ino, ino);
  });

  test("goes to where a link leads", () => {
    const directory = temporaryDirectory();
    for (const name of ["there.json", "nowhere.json"]) symlinkSync(name, join(directory, `to-${name}`));
    writeFileSync(join(directory, "there.json"), "{}");
    for (const name of ["there.json", "nowhere.json"]) {
      write(join(directory, `to-${name}`));
      assert.ok(lstatSync(join(directory, `to-${name}`)).isSymbolicLink());
      assert.deepEqual(JSON.parse(readFileSync(join(directory, name), "utf8")).origins, [entry]);
    }
  });

  test("leaves alone what it does not understand", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "user.json");
    for (const [text, why] of [
      ["{", /is not JSON/],
      ['{"a":"1"}', /holds something else than a storageState/],
      ["[]", /holds something else/],
      ["null", /holds something else/],
      ['{"cookies":[],"origins":{}}', /holds something else/],
      [Buffer.from([0xff]), /is not UTF-8/],
    ]) {
      writeFileSync(path, text);
      assert.throws(() => write(path), (error) => why.test(error.message) && error.message.includes(path) && /Nothing was written\. Name another file\.$/.test(error.message));
      assert.deepEqual(readFileSync(path), Buffer.from(text));
    }
    assert.throws(() => write(directory), /is no regular file/);
    assert.throws(() => write(join(directory, "none/user.json")), /could not be written .*What was there is unchanged\.$/);
    assert.deepEqual(readdirSync(directory), ["user.json"]);
  });
});

test("relative paths are those of the directory at the call", async () => {
  const directory = temporaryDirectory();
  for (const name of ["here", "there"]) mkdirSync(join(directory, name));
  symlinkSync(server, join(directory, "here/program"));
  const { output, errors } = await runModule(`
    import { connect, createWebStorage } from "webstorage-client";
    process.chdir(${JSON.stringify(join(directory, "here"))});
    const storage = createWebStorage({ storageDir: "storage", server: "program" });
    const connection = await connect({ storageDir: "./remote", server: "./program" });
    process.chdir(${JSON.stringify(join(directory, "there"))});
    storage.localStorage.setItem("a", "1");
    storage.close();
    const area = await connection.open({ persistent: true });
    await area.setItem("a", "1");
    const again = new Promise((resolve) => connection.addEventListener("reconnect", resolve));
    process.kill(connection.serverPid, "SIGKILL");
    await again;
    console.log(await area.getItem("a"));
    await connection.close();
  `);
  assert.equal(output, "1\n", errors);
  assert.ok(existsSync(join(directory, "here/storage")) && existsSync(join(directory, "here/remote")));
  assert.deepEqual(readdirSync(join(directory, "there")), []);
});
