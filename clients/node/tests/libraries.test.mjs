// Libraries that keep state in Web Storage, as they come from the registry: browser code with its defaults where there is
// a window, and with the storage handed to it where there is none.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const require = createRequire(import.meta.url);

/** The tests of the libraries; what is between the marks is for code that gets its storage from the test. */
const SOURCES = {
  zustand: `
import { createJSONStorage, persist } from "zustand/middleware";
import { createStore } from "zustand/vanilla";

test("zustand", () => {
  const open = () => createStore(persist(() => ({ bears: 0 }), { name: "bears" /*, storage: createJSONStorage(() => localStorage) */ }));
  open().setState({ bears: 3 });
  expect(JSON.parse(localStorage.getItem("bears")).state).toEqual({ bears: 3 });
  expect(open().getState()).toEqual({ bears: 3 });
});
`,
  "redux-persist": `
import { legacy_createStore } from "redux";
import { persistReducer, persistStore } from "redux-persist";
import createWebStorage from "redux-persist/lib/storage/createWebStorage";

const own = (createWebStorage.default ?? createWebStorage)("local");
const handed = Object.fromEntries(["getItem", "setItem", "removeItem"].map((name) => [name, async (...args) => localStorage[name](...args)]));

test("redux-persist", async () => {
  const reducer = (state = { bears: 0 }, action) => (action.type === "set" ? { ...state, bears: action.bears } : state);
  const open = async () => {
    const store = legacy_createStore(persistReducer({ key: "root", storage: own /* && handed */ }, reducer));
    const persistor = await new Promise((resolve) => { const persistor = persistStore(store, null, () => resolve(persistor)); });
    return { store, persistor };
  };
  const { store, persistor } = await open();
  store.dispatch({ type: "set", bears: 3 });
  await persistor.flush();
  expect(JSON.parse(localStorage.getItem("persist:root")).bears).toBe("3");
  const again = await open();
  expect(again.store.getState().bears).toBe(3);
  await again.persistor.flush();
  for (const { pause } of [persistor, again.persistor]) pause();
});
`,
  supabase: `
import { createClient } from "@supabase/supabase-js";

test("supabase", async () => {
  const part = (value) => btoa(JSON.stringify(value)).replaceAll("=", "");
  const access_token = [part({ alg: "HS256" }), part({ sub: "u", exp: 4102444800 }), part("signature")].join(".");
  const answer = { ok: true, status: 200, headers: new Map(), json: async () => ({ id: "u" }) };
  class NoSocket {}
  const open = () =>
    createClient("https://project.supabase.co", "key", {
      auth: { autoRefreshToken: false, detectSessionInUrl: false /*, storage: localStorage */ },
      realtime: { transport: NoSocket },
      global: { fetch: async () => answer },
    });
  const { error } = await open().auth.setSession({ access_token, refresh_token: "r" });
  expect(error).toBe(null);
  expect(JSON.parse(localStorage.getItem("sb-project-auth-token")).access_token).toBe(access_token);
  const again = open();
  expect((await again.auth.getSession()).data.session.refresh_token).toBe("r");
  await again.auth.signOut({ scope: "local" });
  expect(localStorage.length).toBe(0);
});
`,
  tanstack: `
import { QueryClient } from "@tanstack/query-core";
import { persistQueryClientRestore, persistQueryClientSave } from "@tanstack/query-persist-client-core";
import { createSyncStoragePersister } from "@tanstack/query-sync-storage-persister";

test("tanstack query", async () => {
  const persister = createSyncStoragePersister({ storage: localStorage, throttleTime: 1 });
  const queryClient = new QueryClient();
  queryClient.setQueryData(["bears"], 3);
  await persistQueryClientSave({ queryClient, persister });
  while (localStorage.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const again = new QueryClient();
  await persistQueryClientRestore({ queryClient: again, persister });
  expect(again.getQueryData(["bears"])).toBe(3);
  for (const client of [queryClient, again]) client.clear();
});
`,
  pinia: `
import { createPinia, defineStore, setActivePinia } from "pinia";
import persisted from "pinia-plugin-persistedstate";
import { createApp, nextTick } from "vue";

test("pinia", async () => {
  const open = () => {
    const pinia = createPinia().use(persisted);
    createApp({}).use(pinia);
    setActivePinia(pinia);
    return defineStore("bears", { state: () => ({ bears: 0 }), persist: { /* storage: localStorage */ } })();
  };
  open().bears = 3;
  await nextTick();
  expect(localStorage.getItem("bears")).toBe('{"bears":3}');
  expect(open().bears).toBe(3);
});
`,
};

/** The same for Jest without a transformation. */
function asCommonJs(source) {
  return source
    .replace(/^import (\{.*\}) from (".*");$/gm, "const $1 = require($2);")
    .replace(/^import (\w+) from (".*");$/gm, "const $1 = require($2).default;");
}

const folders = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
});

function project(files) {
  const folder = mkdtempSync(join(root, "tests/projects/libraries-"));
  folders.push(folder);
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source);
  return folder;
}

function files(names, extension, header, window, shape = (source) => source) {
  return Object.fromEntries(
    names.map((name) => [`${name}.test.${extension}`, header + shape(window ? SOURCES[name] : SOURCES[name].replace(/\/\*|\*\//g, ""))]),
  );
}

const all = Object.keys(SOURCES);

describe("Vitest", () => {
  for (const [environment, window] of [["webstorage/jsdom", true], ["webstorage/happy-dom", true], ["webstorage", false]]) {
    test(`on ${environment}`, async () => {
      const folder = project({
        "vitest.config.mjs": `export default { test: { environment: "${environment}", setupFiles: ["vitest-environment-webstorage/setup"], include: ["*.test.mjs"], watch: false } };\n`,
        ...files(all, "mjs", 'import { expect, test } from "vitest";\n', window),
      });
      const program = [join(require.resolve("vitest/package.json"), "../vitest.mjs"), "run"];
      assertPassed(await runProgram(process.execPath, program, folder), new RegExp(`Tests\\s+${all.length} passed \\(${all.length}\\)`));
    });
  }
});

describe("Jest", () => {
  // Pinia is made of ES modules alone.
  const names = all.filter((name) => name !== "pinia");
  for (const [environment, window] of [["jest-environment-webstorage/jsdom", true], ["webstorage", false]]) {
    test(`on ${environment}`, async () => {
      const folder = project({
        "jest.config.js": `module.exports = { testEnvironment: "${environment}", testEnvironmentOptions: { customExportConditions: ["node", "require"] }, transform: {} };\n`,
        ...files(names, "js", "", window, asCommonJs),
      });
      const program = [join(require.resolve("jest/package.json"), "../bin/jest.js")];
      assertPassed(await runProgram(process.execPath, program, folder), new RegExp(`Tests:\\s+${names.length} passed, ${names.length} total`));
    });
  }
});
