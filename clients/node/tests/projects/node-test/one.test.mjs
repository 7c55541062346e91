import { mock, test } from "node:test";
import { currentWebStorage } from "webstorage-client/environment";
import defineCases from "../shared/cases.cjs";

function spyOn(object, method) {
  const spy = mock.method(object, method);
  return { count: () => spy.mock.callCount(), restore: () => spy.mock.restore() };
}

defineCases({ test, spyOn, currentWebStorage, file: "one" });
