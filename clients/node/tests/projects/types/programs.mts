// What programs in TypeScript may write, and what the compiler has to refuse.
import { connect, createWebStorage } from "webstorage-client";
import { currentWebStorage } from "webstorage-client/environment";

const connection = await connect({ storageDir: "./storage" });
const area = await connection.open({ persistent: true, origin: "https://example.test" });
area.addEventListener("storage", ({ key, newValue, sequence }) => console.log(sequence.toFixed(), key?.length, newValue?.length));
area.addEventListener("overflow", (event) => console.log(event.type));
const item: string | null = await area.getItem("n");
// @ts-expect-error: values are strings
await area.setItem("n", 1);

const storage = createWebStorage({ origin: "https://example.test", mode: "direct" });
storage.localStorage.setItem("n", item ?? "");
storage.localStorage.theme = "dark";
storage.target.addEventListener("storage", ({ key, newValue, storageArea }) => console.log(key?.length, newValue, storageArea === storage.localStorage));
const other = storage.openWindow({ url: "https://example.test/other" });
other.target.dispatchEvent(new storage.StorageEvent("storage", { key: "n", storageArea: other.localStorage }));
storage.failNext("setItem", "QuotaExceededError", { key: "n" });
// @ts-expect-error: there is no such operation
currentWebStorage().failNext("setitem", "QuotaExceededError");
// @ts-expect-error: there is no such option
createWebStorage({ quotta: 100 });
// @ts-expect-error: there is no such mode
createWebStorage({ mode: "mirror" });
