import vm from 'node:vm'; import {readFileSync} from 'node:fs';
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const { createWebStorage } = require('../../packages/webstorage-client/dist/index.js');
const source = readFileSync(new URL('probe.js', import.meta.url),'utf8');
const rec = JSON.parse(readFileSync(new URL('chromium.json', import.meta.url),'utf8')).results;
function run(kind, global, evaluate){
  const collect = evaluate(source);
  const ws = createWebStorage({ global, mode: process.argv[2] ?? 'mirrored' });
  const window = { localStorage: ws.localStorage, sessionStorage: ws.sessionStorage, Storage: ws.Storage, StorageEvent: ws.StorageEvent, QuotaExceededError: ws.QuotaExceededError, DOMException: global.DOMException ?? DOMException, Event: global.Event ?? Event, evaluate };
  console.time(kind);
  const got = collect(window);
  console.timeEnd(kind);
  let n=0;
  for (const k of Object.keys(rec)) if (rec[k]!==got[k]) { n++; console.log(kind, k, '\n   chromium', rec[k].slice(0,300), '\n   ours    ', got[k]?.slice(0,300)); }
  console.log(kind, n, 'differences of', Object.keys(rec).length);
  ws.close();
}
run('main', globalThis, (s) => (0,eval)(s));
const context = vm.createContext({});
run('vm', context, (s) => vm.runInContext(s, context));
