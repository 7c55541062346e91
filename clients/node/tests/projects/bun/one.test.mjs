import { spyOn as bunSpyOn, test } from "bun:test";
import { currentWebStorage } from "webstorage-client/environment";
import defineCases from "../shared/cases.cjs";

function spyOn(object, method) {
  const spy = bunSpyOn(object, method);
  let count;
  return { count: () => count ?? spy.mock.calls.length, restore: () => ((count = spy.mock.calls.length), spy.mockRestore()) };
}

// Bun puts a spy on an object past the traps of a proxy, where nobody sees it.
defineCases({ test, spyOn, currentWebStorage, file: "one", spiesOnObjects: false });
