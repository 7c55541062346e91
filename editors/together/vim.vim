" Vim's part of together/test.js: tells that it is ready, waits for the word, and increments.
let s:connection = webstorage#Connect({'cmd': [$WEBSTORAGE_SERVER]})
let s:area = webstorage#Open(s:connection, {'persistent': v:true, 'origin': 'https://together.test'})
let s:go = []
call webstorage#Subscribe(s:area, {event -> add(s:go, event.newValue)}, {'keys': ['go']})
call webstorage#SetItem(s:area, 'ready/vim', $TOGETHER_TEXT)
let s:start = reltime()
while empty(s:go)
  if reltimefloat(reltime(s:start)) > 30
    cquit!
  endif
  sleep 5m
endwhile
for s:i in range(25)
  call webstorage#Update(s:area, 'count', {value -> string(str2nr(value) + 1)})
endfor
call webstorage#SetItem(s:area, 'done/vim', s:go[0])
call webstorage#Stop(s:connection)
qall!
