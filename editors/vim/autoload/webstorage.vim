" Web Storage for Vim: a client of webstorage-server.
"
" Areas are shared live by all Vims and all other programs on this machine. The functions take a callback as
" their last argument and then return at once; it is called with an error (a dictionary, or v:null) and the
" result. Without a callback they wait, for a finite time, and throw 'webstorage: NAME: message'.

if !has('patch-8.2.4758')
  throw 'webstorage: NotSupportedError: Vim 8.2.4758 or newer is needed, for channels of mode lsp'
endif

" The milliseconds that a function without callback waits for its reply.
let g:webstorage_timeout = get(g:, 'webstorage_timeout', 10000)

" The connections whose servers run, by process id.
let s:connections = {}

function s:Error(name, message, ...) abort
  return {'name': a:name, 'message': a:message, 'code': get(a:, 1, v:null), 'data': get(a:, 2, {})}
endfunction

function s:Throw(error) abort
  throw printf('webstorage: %s: %s', a:error.name, a:error.message)
endfunction

function s:Ended(connection) abort
  if a:connection.stopping
    return 'the connection was stopped'
  endif
  return trim(printf('the server ended with code %s. %s', get(a:connection, 'code', '?'), a:connection.told))
endfunction

" The error of a reply, or v:null.
function s:ErrorOf(reply) abort
  if !has_key(a:reply, 'error')
    return v:null
  endif
  let data = get(a:reply.error, 'data', {})
  return s:Error(get(data, 'name', 'Error'), a:reply.error.message, a:reply.error.code, data)
endfunction

" Waits until Vim knows how the server ended and what it said last, which can come after the end of its output.
function s:AwaitEnd(connection) abort
  let start = reltime()
  while (!a:connection.ended || ch_status(a:connection.job, {'part': 'err'}) !=# 'closed') && reltimefloat(reltime(start)) < 1.0
    sleep 5m
    call job_status(a:connection.job)
  endwhile
endfunction

" Calls a method and waits; returns its error or v:null, and its result.
function s:Evaluate(connection, method, params) abort
  if a:connection.ended
    return [s:Error('InvalidStateError', s:Ended(a:connection)), v:null]
  endif
  let start = reltime()
  let reply = ch_evalexpr(a:connection.job, {'method': a:method, 'params': a:params}, {'timeout': g:webstorage_timeout})
  if type(reply) == v:t_dict && has_key(reply, 'id')
    let error = s:ErrorOf(reply)
    return [error, error is v:null ? reply.result : v:null]
  elseif reltimefloat(reltime(start)) * 1000 < g:webstorage_timeout
    " No reply before the time was up: there is nobody to give one any more.
    call s:AwaitEnd(a:connection)
    return [s:Error('InvalidStateError', s:Ended(a:connection)), v:null]
  endif
  return [s:Error('TimeoutError', printf('%s had no reply within %d ms; it may still take effect', a:method, g:webstorage_timeout)), v:null]
endfunction

" Calls a method. With a callback this returns at once, else it waits and returns the result.
function s:Call(connection, method, params, callbacks, ...) abort
  let Received = get(a:, 1, {result -> result})
  if empty(a:callbacks)
    let [error, result] = s:Evaluate(a:connection, a:method, a:params)
    if error isnot v:null
      call s:Throw(error)
    endif
    return Received(result)
  endif
  let Callback = a:callbacks[0]
  if a:connection.ended
    call timer_start(0, {-> Callback(s:Error('InvalidStateError', s:Ended(a:connection)), v:null)})
    return
  endif
  let request = ch_sendexpr(a:connection.job, {'method': a:method, 'params': a:params}, {'callback': function('s:Replied', [a:connection, Received, Callback])})
  let a:connection.pending[request.id] = Callback
endfunction

function s:Replied(connection, Received, Callback, channel, reply) abort
  if !has_key(a:connection.pending, a:reply.id)
    return
  endif
  call remove(a:connection.pending, a:reply.id)
  let error = s:ErrorOf(a:reply)
  call a:Callback(error, error is v:null ? a:Received(a:reply.result) : v:null)
endfunction

function s:Notified(connection, channel, message) abort
  let params = get(a:message, 'params', {})
  let listener = get(a:connection.listeners, get(params, 'subscription', -1), {})
  if empty(listener)
    return
  elseif a:message.method ==# 'storage/event'
    call listener.event(params)
  elseif a:message.method ==# 'storage/overflow'
    call listener.overflow(params)
  endif
endfunction

function s:Exited(connection, job, code) abort
  let a:connection.code = a:code
  let a:connection.ended = v:true
  silent! call remove(s:connections, a:connection.pid)
  let error = s:Error('InvalidStateError', s:Ended(a:connection))
  for id in sort(keys(a:connection.pending), 'N')
    call remove(a:connection.pending, id)(error, v:null)
  endfor
  if !a:connection.stopping && has_key(a:connection, 'OnExit')
    call a:connection.OnExit(error.message)
  endif
endfunction

function s:Told(connection, channel, line) abort
  let a:connection.told = strcharpart(a:connection.told .. a:line .. ' ', 0, 2000)
endfunction

" Starts a server and connects to it. Options, all of them optional: cmd (list: the server and its flags),
" storage_dir (absolute path), origin (of areas that are opened without one), quota (bytes, of new areas),
" on_exit (function of a message: the server ended without having been stopped).
function webstorage#Connect(...) abort
  let options = get(a:, 1, {})
  let cmd = get(options, 'cmd', ['webstorage-server'])
  if !executable(cmd[0])
    call s:Throw(s:Error('NotFoundError', printf('the server "%s" was not found or is not executable: put webstorage-server on PATH, or pass its path as cmd', cmd[0])))
  endif
  let connection = {'listeners': {}, 'pending': {}, 'told': '', 'stopping': v:false, 'ended': v:false}
  let connection.job = job_start(cmd, {
        \ 'in_mode': 'lsp', 'out_mode': 'lsp', 'err_mode': 'nl', 'noblock': 1,
        \ 'out_cb': function('s:Notified', [connection]),
        \ 'err_cb': function('s:Told', [connection]),
        \ 'exit_cb': function('s:Exited', [connection])})
  let connection.pid = job_info(connection.job).process
  let s:connections[connection.pid] = connection
  " Vim's own strings cannot hold lone surrogates, so the server writes U+FFFD for them.
  let initialization = {'illFormedStrings': 'replace'}
  for [option, name] in [['storage_dir', 'storageDir'], ['origin', 'origin'], ['quota', 'quota']]
    if has_key(options, option)
      let initialization[name] = options[option]
    endif
  endfor
  try
    call s:Call(connection, 'initialize', {
          \ 'processId': getpid(),
          \ 'clientInfo': {'name': 'Vim', 'version': string(v:versionlong)},
          \ 'capabilities': {},
          \ 'initializationOptions': initialization}, [])
  catch /^webstorage: /
    if !connection.ended
      " What does not answer is not left running.
      let connection.stopping = v:true
      call job_stop(connection.job, 'kill')
    endif
    throw v:exception
  endtry
  call ch_sendexpr(connection.job, {'method': 'initialized', 'params': {}})
  if has_key(options, 'on_exit')
    " Of a server that never answered, the exception tells.
    let connection.OnExit = options.on_exit
  endif
  return connection
endfunction

" Stops the server of a connection: what was sent is carried out first. Returns its exit code.
function webstorage#Stop(connection) abort
  if !a:connection.ended && !a:connection.stopping
    let a:connection.stopping = v:true
    call ch_evalexpr(a:connection.job, {'method': 'shutdown'}, {'timeout': g:webstorage_timeout})
    if job_status(a:connection.job) ==# 'run'
      call ch_sendexpr(a:connection.job, {'method': 'exit'})
    endif
  endif
  let start = reltime()
  while !a:connection.ended && reltimefloat(reltime(start)) * 1000 < g:webstorage_timeout
    sleep 5m
    call job_status(a:connection.job)
  endwhile
  if !a:connection.ended
    " A server that does not end by itself must not outlive Vim.
    call job_stop(a:connection.job, 'kill')
  endif
  return get(a:connection, 'code', -1)
endfunction

function s:StopAll() abort
  let g:webstorage_timeout = min([g:webstorage_timeout, 1000])
  for connection in values(s:connections)
    silent! call webstorage#Stop(connection)
  endfor
endfunction

augroup webstorage
  autocmd!
  " Lets the servers carry out what was sent to them.
  autocmd VimLeavePre * call s:StopAll()
augroup END

" Opens an area. Options: persistent (boolean: shared and kept, or of this connection only), and optionally
" origin, quota (bytes) and url (told to others with each change). The result is {storage, origin, quota, …}.
function webstorage#Open(connection, options, ...) abort
  return s:Call(a:connection, 'storage/open', a:options, a:000, {result -> extend({'connection': a:connection}, result)})
endfunction

function s:On(area, method, params, callbacks) abort
  return s:Call(a:area.connection, 'storage/' .. a:method, extend({'storage': a:area.storage}, a:params), a:callbacks)
endfunction

" The value of a key, or v:null.
function webstorage#GetItem(area, key, ...) abort
  return s:On(a:area, 'getItem', {'key': a:key}, a:000)
endfunction

" Sets the value of a key.
function webstorage#SetItem(area, key, value, ...) abort
  return s:On(a:area, 'setItem', {'key': a:key, 'value': a:value}, a:000)
endfunction

" Removes an item, if there is one.
function webstorage#RemoveItem(area, key, ...) abort
  return s:On(a:area, 'removeItem', {'key': a:key}, a:000)
endfunction

" Removes all items.
function webstorage#Clear(area, ...) abort
  return s:On(a:area, 'clear', {}, a:000)
endfunction

" The key at a place in key order, counted from 0, or v:null past the end.
function webstorage#Key(area, index, ...) abort
  return s:On(a:area, 'key', {'index': a:index}, a:000)
endfunction

" The number of items.
function webstorage#Length(area, ...) abort
  return s:On(a:area, 'length', {}, a:000)
endfunction

" The keys, in key order.
function webstorage#Keys(area, ...) abort
  return s:On(a:area, 'keys', {}, a:000)
endfunction

" The items {key, value} of one moment, in key order.
function webstorage#Entries(area, ...) abort
  return s:On(a:area, 'entries', {}, a:000)
endfunction

" Makes several changes, all of them or none: {'if': [{key, value} …], clear, remove: [key …], set: [{key, value} …]}.
" A condition that is not met is a ConstraintError; v:null in one means that there is no such item.
function webstorage#Transact(area, changes, ...) abort
  return s:On(a:area, 'transact', a:changes, a:000)
endfunction

" Changes one item atomically, whatever others do meanwhile: Change gets the value (v:null if there is none) and
" returns the new one (v:null to remove it). It can be called several times. Returns the new value.
function webstorage#Update(area, key, Change) abort
  let start = reltime()
  let value = webstorage#GetItem(a:area, a:key)
  while 1
    let new = a:Change(value)
    if new is# value || (type(new) == v:t_string && type(value) == v:t_string && new ==# value)
      return new
    endif
    let changes = {'if': [{'key': a:key, 'value': value}]}
    call extend(changes, new is v:null ? {'remove': [a:key]} : {'set': [{'key': a:key, 'value': new}]})
    let [error, _] = s:Evaluate(a:area.connection, 'storage/transact', extend({'storage': a:area.storage}, changes))
    if error is v:null
      return new
    elseif error.name !=# 'ConstraintError'
      call s:Throw(error)
    endif
    let held = error.data.unmet[0].value
    if type(held) == v:t_string && type(value) == v:t_string && held ==# value
      " What is stored differs from what could be read of it, so no condition can ever name it.
      call s:Throw(s:Error('DataError', 'the value holds a lone surrogate or NUL, which Vim cannot give back; SetItem replaces it'))
    elseif reltimefloat(reltime(start)) * 1000 > g:webstorage_timeout
      call s:Throw(s:Error('TimeoutError', 'others kept changing the item'))
    endif
    let value = held
  endwhile
endfunction

" Calls Listener(event) for each change that others make to the area, in order and once. The event has key,
" oldValue, newValue (all v:null after a clear), url and sequence. Options: keys (list) or prefix; values (v:false
" for events without them); since (a sequence: what came after it is told too); includeSelf; on_overflow (function:
" Vim did not read in time and events are missing; read the area again). Returns a subscription.
function webstorage#Subscribe(area, Listener, ...) abort
  let options = copy(get(a:, 1, {}))
  let listener = {'event': a:Listener}
  if has_key(options, 'on_overflow')
    let listener.overflow = remove(options, 'on_overflow')
  else
    let listener.overflow = {-> execute('echomsg "webstorage: changes were missed because Vim did not read them in time"', '')}
  endif
  let connection = a:area.connection
  " Vim hands notifications over only when it waits for something next, so that the listener is in place in time.
  let subscribed = s:Call(connection, 'storage/subscribe', extend({'storage': a:area.storage}, options), [])
  let connection.listeners[subscribed.subscription] = listener
  return extend({'connection': connection}, subscribed)
endfunction

" Ends a subscription.
function webstorage#Unsubscribe(subscription, ...) abort
  silent! call remove(a:subscription.connection.listeners, a:subscription.subscription)
  return s:Call(a:subscription.connection, 'storage/unsubscribe', {'subscription': a:subscription.subscription}, a:000)
endfunction

" Closes an area. Its items stay: those of a session area until the connection ends.
function webstorage#Close(area, ...) abort
  return s:On(a:area, 'close', {}, a:000)
endfunction
