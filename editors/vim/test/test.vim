" Tests of the Vim client in two Vims: this one, and another that it starts. Prints a line for each check;
" editors/test counts them.
let s:out = $WEBSTORAGE_TEST_OUT
let s:here = expand('<sfile>:p:h')
let s:server = $WEBSTORAGE_SERVER
let s:limit = 15.0

function s:Check(name, Body) abort
  let v:errors = []
  let failure = ''
  try
    call a:Body()
  catch
    let failure = v:exception .. ' in ' .. v:throwpoint
  endtry
  let failure = join((empty(failure) ? [] : [failure]) + v:errors, '; ')
  call writefile([empty(failure) ? 'ok vim: ' .. a:name : 'not ok vim: ' .. a:name .. ': ' .. failure], s:out, 'a')
endfunction

function s:Until(what, Condition) abort
  let start = reltime()
  while !a:Condition()
    if reltimefloat(reltime(start)) > s:limit
      throw 'waited in vain for ' .. a:what
    endif
    sleep 2m
  endwhile
endfunction

function s:Failure(Body) abort
  try
    call a:Body()
  catch /^webstorage: /
    return v:exception
  endtry
  throw 'no error was thrown'
endfunction

function s:IsRunning(pid) abort
  let stat = '/proc/' .. a:pid .. '/stat'
  return filereadable(stat) && join(readfile(stat)) !~# ') Z'
endfunction

function s:StartOther() abort
  let s:told = {}
  let job = job_start([v:progpath, '-Nu', 'NONE', '-es', '--cmd', 'set rtp^=' .. fnamemodify(s:here, ':h'), '-S', s:here .. '/peer.vim'],
        \ {'in_io': 'null', 'out_io': 'null', 'err_io': 'null'})
  call s:Until('the other Vim', {-> has_key(s:told, 'ready')})
  return [job, str2nr(s:told.ready.newValue)]
endfunction

" Asks the other Vim by setting a key, and waits for its answer.
function s:Ask(key, value) abort
  silent! call remove(s:told, 'answer')
  call webstorage#SetItem(s:area, a:key, a:value)
  call s:Until('the answer to ' .. a:key, {-> has_key(s:told, 'answer')})
  let answer = s:told.answer
  call webstorage#RemoveItem(s:area, a:key)
  call webstorage#RemoveItem(s:area, 'answer')
  return answer
endfunction

let s:connection = webstorage#Connect({'cmd': [s:server]})
let s:area = webstorage#Open(s:connection, {'persistent': v:true, 'origin': 'https://vim.test'})
let s:told = {}
call webstorage#Subscribe(s:area, {event -> event.key is v:null ? 0 : extend(s:told, {event.key: event})})
let [s:other, s:otherServer] = s:StartOther()

function s:EveryFunction() abort
  let session = webstorage#Open(s:connection, {'persistent': v:false})
  call assert_equal('http://localhost', session.origin)
  call assert_equal(v:null, webstorage#GetItem(session, 'a'))
  call webstorage#SetItem(session, 'b', '1')
  call webstorage#SetItem(session, 'a', '')
  call webstorage#SetItem(session, 'b', '2')
  call assert_equal('2', webstorage#GetItem(session, 'b'))
  call assert_equal('', webstorage#GetItem(session, 'a'))
  call assert_equal(2, webstorage#Length(session))
  call assert_equal(['b', 'a', v:null], map(range(3), {_, index -> webstorage#Key(session, index)}))
  call assert_equal(['b', 'a'], webstorage#Keys(session))
  call assert_equal([{'key': 'b', 'value': '2'}, {'key': 'a', 'value': ''}], webstorage#Entries(session))
  call webstorage#RemoveItem(session, 'b')
  call assert_equal(['a'], webstorage#Keys(session))
  call webstorage#Clear(session)
  call assert_equal(0, webstorage#Length(session))
  call webstorage#Close(session)
  call assert_match('InvalidStateError', s:Failure({-> webstorage#Length(session)}))
endfunction
call s:Check('every function of an area, waiting', function('s:EveryFunction'))

function s:Refused() abort
  call assert_match("TypeError.*'orign'.*origin", s:Failure({-> webstorage#Connect({'cmd': [s:server], 'orign': 'https://a.test'})}))
  call assert_match("TypeError.*'orign'.*origin", s:Failure({-> webstorage#Open(s:connection, {'persistent': v:false, 'orign': 'https://a.test'})}))
  call assert_match("TypeError.*'key'.*keys", s:Failure({-> webstorage#Subscribe(s:area, {-> 0}, {'key': 'a'})}))
  call assert_match('TypeError.*needs an origin', s:Failure({-> webstorage#Open(s:connection, {'persistent': v:true})}))
  let own = webstorage#Connect({'cmd': [s:server], 'origin': 'https://own.test'})
  call assert_equal('https://own.test', webstorage#Open(own, {'persistent': v:true}).origin)
  call webstorage#Stop(own)
endfunction
call s:Check('options that nobody reads, and persistent areas without an origin, are refused', function('s:Refused'))

function s:Unread() abort
  let session = webstorage#Open(s:connection, {'persistent': v:false, 'origin': 'https://unread.test'})
  let start = reltime()
  let failed = []
  " Vim sends half a surrogate pair as bytes that are no UTF-8, which the server answers with an error that has no id.
  call assert_match('UTF-8', s:Failure({-> webstorage#SetItem(session, 'k', "\ud800")}))
  call webstorage#SetItem(session, 'k', "a\ud800", {error, _ -> add(failed, error)})
  call s:Until('the failed call', {-> !empty(failed)})
  call assert_match('UTF-8', failed[0].message)
  call assert_true(reltimefloat(reltime(start)) * 1000 < g:webstorage_timeout, 'no call has waited out its time')
  call assert_equal(v:null, webstorage#GetItem(session, 'k'))
endfunction
call s:Check('text that is not UTF-8 is an error at once and changes nothing', function('s:Unread'))

function s:Mixed() abort
  let session = webstorage#Open(s:connection, {'persistent': v:false, 'origin': 'https://mixed.test'})
  let listening = webstorage#Open(s:connection, {'persistent': v:false, 'origin': 'https://mixed.test'})
  let seen = []
  call webstorage#Subscribe(listening, {event -> add(seen, event.newValue)})
  for i in range(20)
    call webstorage#SetItem(session, 'k', 'later ' .. i, {-> add(seen, 'reply')})
    call webstorage#SetItem(session, 'k', 'now ' .. i)
  endfor
  call s:Until('60 messages', {-> len(seen) == 60})
  let wanted = flatten(map(range(20), {_, i -> ['later ' .. i, 'now ' .. i]}))
  call assert_equal(wanted, filter(copy(seen), {_, told -> told !=# 'reply'}))
endfunction
call s:Check('what comes while a call waits is told afterwards, in order', function('s:Mixed'))

function s:Callbacks() abort
  let session = webstorage#Open(s:connection, {'persistent': v:false, 'origin': 'https://order.test'})
  let seen = []
  let wanted = []
  for i in range(50)
    call webstorage#SetItem(session, 'n', string(i), {error, _ -> add(seen, error is v:null ? 'set' : error)})
    call webstorage#GetItem(session, 'n', {error, value -> add(seen, error is v:null ? value : error)})
    call extend(wanted, ['set', string(i)])
  endfor
  call assert_equal([], seen)
  call s:Until('100 callbacks', {-> len(seen) == 100})
  call assert_equal(wanted, seen)
endfunction
call s:Check('callbacks come in the order of the calls', function('s:Callbacks'))

function s:Visible() abort
  for i in range(20)
    call webstorage#SetItem(s:area, 'turn', 'turn ' .. i)
    let answer = s:Ask('read', 'turn')
    call assert_equal(['turn ' .. i, 'https://vim.test/other'], [answer.newValue, answer.url])
  endfor
endfunction
call s:Check('a write in one Vim is seen by the next read in another', function('s:Visible'))

function s:Events() abort
  call webstorage#SetItem(s:area, 'theme', 'dark')
  call webstorage#SetItem(s:area, 'theme', 'dark')
  call webstorage#SetItem(s:area, 'theme', 'light')
  call webstorage#RemoveItem(s:area, 'theme')
  call webstorage#Clear(s:area)
  let url = 'https://vim.test'
  call assert_equal(
        \ [['theme', '-', 'dark', url], ['theme', 'dark', 'light', url], ['theme', 'light', '-', url], ['-', '-', '-', url]],
        \ json_decode(s:Ask('events', 'please').newValue))
  call assert_false(has_key(s:told, 'theme'))
endfunction
call s:Check('changes reach the other Vim as events, in order, and not the one that made them', function('s:Events'))

function s:Prefix() abort
  let seen = []
  let second = webstorage#Open(s:connection, {'persistent': v:true, 'origin': 'https://vim.test'})
  let subscription = webstorage#Subscribe(second, {event -> add(seen, event.key)}, {'prefix': 'x.'})
  for key in ['x.1', 'y', 'x.2']
    call webstorage#SetItem(s:area, key, 'v')
  endfor
  call s:Until('two events', {-> len(seen) >= 2})
  call assert_equal(['x.1', 'x.2'], seen)
  call webstorage#Unsubscribe(subscription)
  call webstorage#SetItem(s:area, 'x.3', 'v')
  call webstorage#Close(second)
  call assert_equal(['x.1', 'x.2'], seen)
endfunction
call s:Check('a subscription tells only of its keys, until it ends', function('s:Prefix'))

function s:Increments() abort
  call webstorage#SetItem(s:area, 'count', '0')
  silent! call remove(s:told, 'answer')
  call webstorage#SetItem(s:area, 'increment', '100')
  for _ in range(100)
    call webstorage#Update(s:area, 'count', {value -> string(str2nr(value) + 1)})
  endfor
  call s:Until('the increments there', {-> has_key(s:told, 'answer')})
  call assert_equal('200', webstorage#GetItem(s:area, 'count'))
endfunction
call s:Check('two Vims that increment one item 100 times each end at 200', function('s:Increments'))

function s:Transaction() abort
  call webstorage#Transact(s:area, {'clear': v:true, 'set': [{'key': 'from', 'value': '100'}, {'key': 'to', 'value': '0'}]})
  call assert_equal(['from', 'to'], webstorage#Keys(s:area))
  call assert_match('^webstorage: ConstraintError: ', s:Failure({-> webstorage#Transact(s:area, {
        \ 'if': [{'key': 'to', 'value': '0'}, {'key': 'from', 'value': '7'}], 'remove': ['to']})}))
  call assert_equal('0', webstorage#GetItem(s:area, 'to'))
endfunction
call s:Check('a transaction happens as a whole or not at all', function('s:Transaction'))

function s:Strings() abort
  for text in ["line\nend\r\n", '"\', "\u2028", '🦀 ünï', "\x7f\x01"]
    call webstorage#SetItem(s:area, text, text .. text)
    call assert_equal(text .. text, webstorage#GetItem(s:area, text))
    call assert_equal(text .. text, s:Ask('read', text).newValue)
    call webstorage#RemoveItem(s:area, text)
  endfor
  let large = repeat("0123456789abcde\n", 65536)
  call webstorage#SetItem(s:area, 'large', large)
  call assert_true(webstorage#GetItem(s:area, 'large') ==# large)
  call assert_true(s:Ask('read', 'large').newValue ==# large)
  call webstorage#RemoveItem(s:area, 'large')
endfunction
call s:Check('quotes, line ends, every plane and 1 MiB are exact', function('s:Strings'))

function s:Foreign() abort
  call system(shellescape(s:server), [
        \ '{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[true,"https://vim.test"]}',
        \ '{"jsonrpc":"2.0","id":2,"method":"setItem","params":[1,"lone","<\ud800>"]}',
        \ '{"jsonrpc":"2.0","id":3,"method":"setItem","params":[1,"nul","<\u0000>"]}', ''])
  call assert_equal("<\ufffd>", webstorage#GetItem(s:area, 'lone'))
  call assert_equal('<>', webstorage#GetItem(s:area, 'nul'))
  for key in ['lone', 'nul']
    call assert_match('^webstorage: DataError: ', s:Failure({-> webstorage#Update(s:area, key, {-> 'x'})}))
  endfor
endfunction
call s:Check('a lone surrogate of another program reads as U+FFFD, NUL as nothing, and Update refuses to guess', function('s:Foreign'))

function s:Errors() abort
  let small = webstorage#Open(s:connection, {'persistent': v:false, 'origin': 'https://small.test', 'quota': 16})
  call assert_match('^webstorage: QuotaExceededError: ', s:Failure({-> webstorage#SetItem(small, 'key', 'far too long for it')}))
  let got = []
  call webstorage#SetItem(small, 'key', 'far too long for it', {error, _ -> add(got, error)})
  call s:Until('the error', {-> !empty(got)})
  call assert_equal(['QuotaExceededError', 22, 16], [got[0].name, got[0].code, got[0].data.quota])
  call assert_match('SecurityError', s:Failure({-> webstorage#Open(s:connection, {'persistent': v:true, 'origin': 'null'})}))
endfunction
call s:Check('errors name the DOMException and its numbers', function('s:Errors'))

function s:Missing() abort
  call assert_match('^webstorage: NotFoundError: the server "/nowhere/webstorage-server" was not found',
        \ s:Failure({-> webstorage#Connect({'cmd': ['/nowhere/webstorage-server']})}))
  call assert_match('^webstorage: InvalidStateError: the server ended with code 3. no such thing',
        \ s:Failure({-> webstorage#Connect({'cmd': ['sh', '-c', 'echo no such thing >&2; exit 3']})}))
endfunction
call s:Check('a missing server, and a program that is no such server, are told clearly', function('s:Missing'))

function s:Silent() abort
  let g:webstorage_timeout = 200
  call assert_match('^webstorage: TimeoutError: ', s:Failure({-> webstorage#Connect({'cmd': ['sleep', '60']})}))
  let g:webstorage_timeout = 10000
  call s:Until('the end of the program', {-> empty(filter(job_info(), {_, job -> job_info(job).cmd[0] ==# 'sleep' && job_status(job) ==# 'run'}))})
endfunction
call s:Check('a server that does not answer is a TimeoutError, and is not left running', function('s:Silent'))

function s:Killed() abort
  let told = []
  let doomed = webstorage#Connect({'cmd': [s:server], 'on_exit': {message -> add(told, message)}})
  let session = webstorage#Open(doomed, {'persistent': v:false})
  call system('kill -STOP ' .. doomed.pid)
  let got = []
  call webstorage#GetItem(session, 'k', {error, _ -> add(got, error)})
  call system('kill -KILL ' .. doomed.pid)
  call s:Until('the failed call', {-> !empty(got) && !empty(told)})
  call assert_equal('InvalidStateError', got[0].name)
  call assert_match('the server ended', told[0])
  call assert_match('^webstorage: InvalidStateError: the server ended', s:Failure({-> webstorage#Length(session)}))
endfunction
call s:Check('a server that is killed fails its calls, the later ones too, and is told of', function('s:Killed'))

function s:Stopping() abort
  let second = webstorage#Connect({'cmd': [s:server]})
  let persistent = webstorage#Open(second, {'persistent': v:true, 'origin': 'https://vim.test'})
  call webstorage#SetItem(persistent, 'last', 'words', {-> 0})
  call assert_equal(0, webstorage#Stop(second))
  call assert_false(s:IsRunning(second.pid))
  call assert_equal('words', webstorage#GetItem(s:area, 'last'))
  call assert_match('the connection was stopped', s:Failure({-> webstorage#Length(persistent)}))
endfunction
call s:Check('stopping carries out what was sent, and ends the server with code 0', function('s:Stopping'))

function s:Quitting() abort
  call assert_true(s:IsRunning(s:otherServer))
  call webstorage#SetItem(s:area, 'quit', 'please')
  call s:Until('the end of the other Vim', {-> job_status(s:other) ==# 'dead'})
  call s:Until('the end of its server', {-> !s:IsRunning(s:otherServer)})
  call assert_equal('200', webstorage#GetItem(s:area, 'last'))
endfunction
call s:Check('quitting Vim carries out what was sent and leaves no server behind', function('s:Quitting'))

function s:Killing() abort
  let [other, server] = s:StartOther()
  call assert_true(s:IsRunning(server))
  call job_stop(other, 'kill')
  call s:Until('the end of its server', {-> !s:IsRunning(server)})
endfunction
call s:Check('killing Vim leaves no server behind', function('s:Killing'))

call webstorage#Stop(s:connection)
qall!
