// A configuration's options and the environments.
import environment, { currentWebStorage, type VitestEnvironmentOptions } from "vitest-environment-webstorage";
import jsdom from "vitest-environment-webstorage/jsdom";
import happyDom from "vitest-environment-webstorage/happy-dom";
import "vitest-environment-webstorage/setup";

const options: VitestEnvironmentOptions = { base: "jsdom", seed: { theme: "dark" } };
console.log(options, environment.name, jsdom.name, happyDom.name, currentWebStorage().localStorage.length);
// @ts-expect-error: there is no such base
const wrong: VitestEnvironmentOptions = { base: "jsdon" };
console.log(wrong);
