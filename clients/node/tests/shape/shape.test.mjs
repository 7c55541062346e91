// The shape of the objects against what Chromium answered to the same probe.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import vm from "node:vm";
import { Window } from "happy-dom";
import { JSDOM } from "jsdom";
import { createWebStorage } from "webstorage-client";
import { serverPath } from "../paths.mjs";

const source = readFileSync(new URL("probe.js", import.meta.url), "utf8");
const { results: chromium } = JSON.parse(readFileSync(new URL("chromium.json", import.meta.url), "utf8"));

// Where the language or the standard wants something else than Chromium does. The outcome is the one
// that is right here.
const differences = {};
function differs(reason, outcomes) {
  for (const [name, outcome] of Object.entries(outcomes)) differences[name] = { reason, outcome };
}
const methods = ["key", "getItem", "setItem", "removeItem", "clear"];
differs(
  "only code of the engine itself prints as native",
  Object.fromEntries(methods.map((name) => [`method ${name}: is native`, 'string "source"'])),
);
differs("a proxy must not report success for a property that cannot be reconfigured, so nothing is stored", {
  "define value, not configurable": "[false, null, undefined]",
  "define value, not configurable over an item":
    '[false, string "old", {value: string "old", writable: true, enumerable: true, configurable: true}]',
  "Object.defineProperty with value, not configurable": "throws TypeError",
});
const old = '{value: string "old", writable: true, enumerable: true, configurable: true}';
differs("WebIDL refuses an accessor; Chromium ignores it and claims success", {
  "define getter": "[false, null, undefined]",
  "define setter": "[false, null, undefined]",
  "define getter and configurable": "[false, null, undefined]",
  "define getter over an item": `[false, string "old", ${old}]`,
  "define setter over an item": `[false, string "old", ${old}]`,
  "define getter and configurable over an item": `[false, string "old", ${old}]`,
});
differs("WebIDL refuses a descriptor without a value; Chromium stores undefined", {
  "define empty": "[false, null, undefined]",
  "define enumerable": "[false, null, undefined]",
  "define empty over an item": `[false, string "old", ${old}]`,
  "define enumerable over an item": `[false, string "old", ${old}]`,
  "Object.defineProperty with empty": "throws TypeError",
  "Object.defineProperty with enumerable": "throws TypeError",
});
differs("ECMAScript lists symbols after strings", { "symbol last": '[string "string", string "symbol"]' });
const hidden = ["key", "getItem", "setItem", "removeItem", "clear", "constructor", "toString", "valueOf", "hasOwnProperty", "__proto__", "isPrototypeOf"];
differs("an item that a member hides is no property (WebIDL); Chromium lists it without having a descriptor", {
  ...Object.fromEntries(hidden.map((name) => [`member name ${name}: setItem`, `[string "v", true, [], string "${name}"]`])),
  "an item that the prototype hides later": '[[string "p", string "v", [], false], string "v"]',
  "own property names": '[string "a"]',
});
for (const name of ["length", ...hidden]) {
  const [same, type] = name === "length" ? ["number 1", "number"] : ["true", name === "__proto__" ? "object" : "function"];
  differs("WebIDL makes an item of what is put on the name of a member; in Chromium it hides the member", {
    [`member name ${name}: assignment`]: `[string "v", ${same}, [], true]`,
    [`member name ${name}: define`]: `[true, string "d", string "${type}"]`,
    [`member name ${name}: define an accessor`]: "[false, null]",
  });
}
differs("WebIDL does not call the setters of a prototype", { "a setter of the prototype": '[false, string "v", string "p"]' });
differs("WebIDL wants a RangeError for these", {
  "QuotaExceededError: negative quota": "throws RangeError",
  "QuotaExceededError: negative requested": "throws RangeError",
  "QuotaExceededError: less than quota": "throws RangeError",
});

function assertShape(global, evaluate, mode) {
  const storage = createWebStorage({ global, mode, server: serverPath() });
  const { localStorage, sessionStorage, Storage, StorageEvent, QuotaExceededError } = storage;
  const inRealm = { DOMException: global.DOMException ?? DOMException, Event: global.Event ?? Event, evaluate };
  const outcomes = evaluate(source)({ localStorage, sessionStorage, Storage, StorageEvent, QuotaExceededError, ...inRealm });
  storage.close();
  // A realm's own QuotaExceededError, which newer versions of Node have, is not of our making.
  const foreign = global.QuotaExceededError === QuotaExceededError;
  const names = Object.keys(chromium).filter((name) => !foreign || !name.startsWith("QuotaExceededError"));
  for (const name of names) assert.equal(outcomes[name], differences[name]?.outcome ?? chromium[name], name);
  return names.length;
}

test("the record is that of a browser, and each difference from it is real", () => {
  assert.ok(Object.keys(chromium).length > 450);
  for (const [name, { outcome, reason }] of Object.entries(differences)) {
    assert.ok(name in chromium, name);
    assert.notEqual(chromium[name], outcome, `${name}: ${reason}`);
  }
});

for (const mode of ["mirrored", "direct"]) {
  describe(`${mode} storage answers the probe as Chromium does`, () => {
    test("in the realm of Node", () => {
      assert.ok(assertShape(globalThis, (text) => globalThis.eval(text), mode) > 450);
    });

    test("in a vm context", () => {
      const context = vm.createContext({});
      assert.ok(assertShape(context, (text) => vm.runInContext(text, context), mode) > 450);
    });

    test("in a window of jsdom", () => {
      const { window } = new JSDOM("", { runScripts: "outside-only", url: "http://localhost/" });
      assert.ok(assertShape(window, (text) => window.eval(text), mode) > 450);
    });

    test("in a window of happy-dom", () => {
      const window = new Window({ url: "http://localhost/" });
      assert.ok(assertShape(window, (text) => window.eval(text), mode) > 450);
    });
  });
}
