// Writes items into the `localStorage` of the program that runs this, and prints what that then holds, in its own
// order, as JSON: a list of pairs.
const items = [
    ['z', 'first'],
    ['theme', 'dark'],
    ['', 'the empty key'],
    ['empty value', ''],
    ['a\0b', 'x\0y'],
    ['\ud800', 'high \ud800'],
    ['\udfff', '\udfff low'],
    ['\udc00\ud800', 'the wrong way round \udc00\ud800'],
    ['😀', '👩‍👩‍👧 ñ ﷽'],
    ['\uff5e', 'after the emoji in 16-bit units, before it in UTF-8'],
    ['\ufeff', '\ufeff\uffff\ufffe'],
    ['__proto__', 'own'],
    ['length', 'own'],
    ['getItem', 'own'],
    ['1', 'one'],
    ['01', 'not one'],
    ['control \u0001\n\r\u2028', '"\\\u007f'],
    ['gone', 'removed again'],
    ['large', 'é'.repeat(Number(process.argv[2]))],
    ['a', 'last'],
];
for (const [key, value] of items) localStorage.setItem(key, value);
localStorage.removeItem('gone');
localStorage.setItem('z', 'changed');
const held = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
const lines = held.map((key) => `${JSON.stringify(key)}, ${JSON.stringify(localStorage.getItem(key))}`);
console.log(`[\n[${lines.join('],\n[')}]\n]`);
