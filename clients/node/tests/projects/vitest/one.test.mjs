import { test, vi } from "vitest";
import { currentWebStorage } from "vitest-environment-webstorage";
import defineCases from "../shared/cases.cjs";

function spyOn(object, method) {
  const spy = vi.spyOn(object, method);
  let count;
  return { count: () => count ?? spy.mock.calls.length, restore: () => ((count = spy.mock.calls.length), spy.mockRestore()) };
}

defineCases({ test, spyOn, currentWebStorage, file: "one" });
