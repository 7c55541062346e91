" The other Vim of the tests: it does what keys of the area ask for, and answers in the area.
let s:connection = webstorage#Connect({'cmd': [$WEBSTORAGE_SERVER]})
let s:area = webstorage#Open(s:connection, {'persistent': v:true, 'origin': 'https://vim.test', 'url': 'https://vim.test/other'})
let s:events = []
function s:Answer(event) abort
  if a:event.key is v:null
    call add(s:events, ['-', '-', '-', a:event.url])
  elseif a:event.key =~# '^theme'
    call add(s:events, map([a:event.key, a:event.oldValue, a:event.newValue, a:event.url], {_, v -> v is v:null ? '-' : v}))
  elseif a:event.newValue is v:null
    " The one that asked takes its question back.
    return
  elseif a:event.key ==# 'read'
    call webstorage#SetItem(s:area, 'answer', webstorage#GetItem(s:area, a:event.newValue))
  elseif a:event.key ==# 'events'
    call webstorage#SetItem(s:area, 'answer', json_encode(s:events))
  elseif a:event.key ==# 'increment'
    for _ in range(str2nr(a:event.newValue))
      call webstorage#Update(s:area, 'count', {value -> string(str2nr(value) + 1)})
    endfor
    call webstorage#SetItem(s:area, 'answer', 'incremented')
  elseif a:event.key ==# 'quit'
    for i in range(1, 200)
      call webstorage#SetItem(s:area, 'last', string(i), {-> 0})
    endfor
    qall!
  endif
endfunction
call webstorage#Subscribe(s:area, function('s:Answer'))
call webstorage#SetItem(s:area, 'ready', string(s:connection.pid))
" What a script waits for ends with the script; a Vim without a terminal waits here for its events.
while 1
  sleep 60
endwhile
