// The generated types, as a client in TypeScript uses them.
import type { ErrorData, Methods, OpenParams, ServerNotifications } from "../../clients/node/packages/webstorage-client/src/protocol.js";
import { errorCodes, protocolVersion } from "../../clients/node/packages/webstorage-client/src/protocol.js";

declare function call<M extends keyof Methods>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]>;
declare function on<N extends keyof ServerNotifications>(name: N, listener: (params: ServerNotifications[N]["params"]) => void): void;

export async function use(): Promise<string | null> {
  const params: OpenParams = { persistent: false };
  const { storage, quota } = await call("storage/open", params);
  const numbers: number = storage + quota;
  on("storage/event", ({ key, sequence }) => console.log(key?.length, sequence + numbers));
  // @ts-expect-error A value is missing.
  await call("storage/setItem", { storage, key: "k" });
  // @ts-expect-error There is no such param.
  await call("storage/length", { storage, other: 1 });
  // @ts-expect-error There is no such method.
  await call("storage/none", {});
  const quotaCode: 22 = errorCodes.QuotaExceededError;
  const data: ErrorData["QuotaExceededError"] = { name: "QuotaExceededError", quota, requested: quotaCode, usage: 0 };
  // @ts-expect-error The usage is a number.
  data.usage = "0";
  const version: string = protocolVersion;
  return version.length > 0 ? call("getItem", { storage, key: "k" }) : null;
}
