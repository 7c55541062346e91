// What the packages and the compiler's library `dom` call by the same name can be used for each other.
import { createWebStorage, type Storage as OwnStorage, type StorageEvent as OwnStorageEvent } from "webstorage-client";

const storage = createWebStorage({ target: window });
const area: Storage = storage.localStorage;
const own: OwnStorage = window.localStorage;
const listener = (event: StorageEvent) => console.log(event.key, event.storageArea === area);
storage.target.addEventListener("storage", listener);
window.addEventListener("storage", (event) => {
  const same: OwnStorageEvent = event;
  console.log(same.newValue);
});
const target: EventTarget = storage.target;
console.log(own, target);
