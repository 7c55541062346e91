import { defineConfig } from "vitest/config";

const base = process.env.TEST_BASE ?? "node";

export default defineConfig({
  test: {
    environment: base === "node" ? "webstorage" : `webstorage/${base}`,
    environmentOptions: { webstorage: { seed: { seeded: "yes" }, quota: 2000, ...JSON.parse(process.env.TEST_OPTIONS ?? "{}") } },
    setupFiles: ["vitest-environment-webstorage/setup"],
    include: ["*.test.mjs"],
    watch: false,
  },
});
