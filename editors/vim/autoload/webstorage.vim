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

" The ids of calls that wait; those that Vim gives to calls with a callback are small.
let s:last_id = 1000000000

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
  let name = get(a:reply.error, 'name', get(data, 'name', 'Error'))
  return s:Error(name, a:reply.error.message, a:reply.error.code, data)
endfunction

" Waits until Vim knows how the server ended and what it said last, which can come after the end of its output.
function s:AwaitEnd(connection) abort
  let start = reltime()
  while (!a:connection.ended || ch_status(a:connection.job, {'part': 'err'}) !=# 'closed') && reltimefloat(reltime(start)) < 1.0
    sleep 5m
    call job_status(a:connection.job)
  endwhile
endfunction

" Calls a method and waits; returns its error or v:null, and what Received, unless it is v:null, makes of its result.
" A server that is asked again within microseconds is still awake, so that the usual way through here is short.
function s:Evaluate(connection, method, params, Received) abort
  if a:connection.ended
    return [s:Error('InvalidStateError', s:Ended(a:connection)), v:null]
  endif
  let s:last_id += 1
  let id = s:last_id
  let start = reltime()
  call ch_sendexpr(a:connection.job, {'id': id, 'method': a:method, 'params': a:params})
  " Vim's own waiting, ch_evalexpr(), cannot be ended by an error without an id.
  let message = ch_read(a:connection.job, {'timeout': g:webstorage_timeout})
  if type(message) != v:t_dict || get(message, 'id') isnot# id
    let message = s:AwaitReply(a:connection, a:method, id, message, start)
  endif
  if has_key(message, 'error')
    let outcome = [s:ErrorOf(message), v:null]
  else
    let outcome = [v:null, a:Received is v:null ? message.result : a:Received(message.result)]
  endif
  if !empty(a:connection.read)
    " What came for others in the meantime comes after this reply.
    call s:DeliverRead(a:connection)
  endif
  return outcome
endfunction

" Waits on for the reply to the call with this id, and keeps what comes for others. `message` is what came first. Where no
" reply can come the result is one that says so.
function s:AwaitReply(connection, method, id, message, start) abort
  let message = a:message
  while type(message) == v:t_dict
    if get(message, 'id') is# a:id
      return message
    elseif s:IsUnread(message)
      call s:FailPending(a:connection, s:ErrorOf(message))
      return message
    endif
    call add(a:connection.read, message)
    let left = s:Left(a:start)
    let message = left > 0 ? ch_read(a:connection.job, {'timeout': left}) : ''
  endwhile
  if s:Left(a:start) > 0
    " No message before the time was up: there is nobody to send one any longer.
    call s:AwaitEnd(a:connection)
    return {'error': s:Error('InvalidStateError', s:Ended(a:connection))}
  endif
  return {'error': s:Error('TimeoutError', printf('%s had no reply within %d ms; it may still take effect', a:method, g:webstorage_timeout))}
endfunction

" The milliseconds that a call which began at `start` still waits.
function s:Left(start) abort
  return g:webstorage_timeout - float2nr(reltimefloat(reltime(a:start)) * 1000)
endfunction

" Whether the server says that it could not read a message. It cannot say whose reply this is.
function s:IsUnread(message) abort
  return has_key(a:message, 'error') && get(a:message, 'id', v:null) is v:null
endfunction

" Fails every call that has no reply yet.
function s:FailPending(connection, error) abort
  for id in sort(keys(a:connection.pending), 'N')
    call remove(a:connection.pending, id).Callback(a:error, v:null)
  endfor
endfunction

" Delivers, in their order, the messages that came while a call waited.
function s:DeliverRead(connection) abort
  while !empty(a:connection.read) && !a:connection.delivering
    let a:connection.delivering = v:true
    try
      call s:Deliver(a:connection, remove(a:connection.read, 0))
    catch
      " A listener that fails must not make the call fail that happened to wait.
      echohl ErrorMsg | echomsg v:exception | echohl None
    finally
      let a:connection.delivering = v:false
    endtry
  endwhile
endfunction

function s:Deliver(connection, message) abort
  if has_key(a:message, 'method')
    call s:Notified(a:connection, a:message)
  elseif s:IsUnread(a:message)
    call s:FailPending(a:connection, s:ErrorOf(a:message))
  elseif has_key(a:connection.pending, get(a:message, 'id', ''))
    let call = remove(a:connection.pending, a:message.id)
    let error = s:ErrorOf(a:message)
    call call.Callback(error, error is v:null ? (call.Received is v:null ? a:message.result : call.Received(a:message.result)) : v:null)
  endif
endfunction

" Vim has read a message: those that were read before it come first.
function s:Came(connection, channel, message) abort
  call add(a:connection.read, a:message)
  call s:DeliverRead(a:connection)
endfunction

" Calls a method. With a callback this returns at once, else it waits and returns the result.
function s:Call(connection, method, params, callbacks, ...) abort
  let Received = get(a:, 1, v:null)
  if empty(a:callbacks)
    let [error, result] = s:Evaluate(a:connection, a:method, a:params, Received)
    if error isnot v:null
      call s:Throw(error)
    endif
    return result
  endif
  let Callback = a:callbacks[0]
  if a:connection.ended
    call timer_start(0, {-> Callback(s:Error('InvalidStateError', s:Ended(a:connection)), v:null)})
    return
  endif
  let request = ch_sendexpr(a:connection.job, {'method': a:method, 'params': a:params}, {'callback': function('s:Came', [a:connection])})
  let a:connection.pending[request.id] = {'Received': Received, 'Callback': Callback}
endfunction

function s:Notified(connection, message) abort
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
  call s:DeliverRead(a:connection)
  let error = s:Error('InvalidStateError', s:Ended(a:connection))
  call s:FailPending(a:connection, error)
  if !a:connection.stopping && has_key(a:connection, 'OnExit')
    call a:connection.OnExit(error.message)
  endif
endfunction

function s:Told(connection, channel, line) abort
  let a:connection.told = strcharpart(a:connection.told .. a:line .. ' ', 0, 2000)
endfunction

" Refuses options that nobody reads: a misspelt one would otherwise have no effect, and nobody would hear of it.
function s:CheckOptions(what, options, known) abort
  for name in keys(a:options)
    if index(a:known, name) < 0
      call s:Throw(s:Error('TypeError', printf('%s: there is no option %s; the options are %s', a:what, string(name), join(a:known, ', '))))
    endif
  endfor
endfunction

" Starts a server and connects to it. Options, all of them optional: cmd (list: the server and its flags),
" storage_dir (absolute path), origin (of areas that are opened without one), quota (bytes, of new areas),
" on_exit (function of a message: the server ended without having been stopped).
function webstorage#Connect(...) abort
  let options = get(a:, 1, {})
  call s:CheckOptions('Connect', options, ['cmd', 'storage_dir', 'origin', 'quota', 'on_exit'])
  let cmd = get(options, 'cmd', ['webstorage-server'])
  if !executable(cmd[0])
    call s:Throw(s:Error('NotFoundError', printf('the server "%s" was not found or is not executable: put webstorage-server on PATH, or pass its path as cmd', cmd[0])))
  endif
  let connection = {'listeners': {}, 'pending': {}, 'read': [], 'delivering': v:false, 'told': '', 'stopping': v:false, 'ended': v:false}
  let connection.job = job_start(cmd, {
        \ 'in_mode': 'lsp', 'out_mode': 'lsp', 'err_mode': 'nl', 'noblock': 1,
        \ 'out_cb': function('s:Came', [connection]),
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
  let connection.origin = get(options, 'origin', v:null)
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
    call s:Evaluate(a:connection, 'shutdown', v:null, v:null)
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

" Opens an area. Options: persistent (boolean: shared and kept, or of this connection only); origin, whose area it is,
" which a persistent area needs unless webstorage#Connect() was given one; and optionally quota (bytes) and url (told to
" others with each change). The result is {storage, origin, quota, …}.
function webstorage#Open(connection, options, ...) abort
  call s:CheckOptions('Open', a:options, ['persistent', 'origin', 'quota', 'url'])
  if get(a:options, 'persistent', v:false) && !has_key(a:options, 'origin') && a:connection.origin is v:null
    " The server's default origin is everybody's.
    call s:Throw(s:Error('TypeError', "Open: a persistent area needs an origin of its own, such as 'https://my-plugin.example'"))
  endif
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
    let [error, _] = s:Evaluate(a:area.connection, 'storage/transact', extend({'storage': a:area.storage}, changes), v:null)
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
" events are missing, as when Vim did not read in time; read the area again). Returns a subscription.
function webstorage#Subscribe(area, Listener, ...) abort
  let options = copy(get(a:, 1, {}))
  call s:CheckOptions('Subscribe', options, ['keys', 'prefix', 'values', 'since', 'includeSelf', 'on_overflow'])
  let listener = {'event': a:Listener}
  if has_key(options, 'on_overflow')
    let listener.overflow = remove(options, 'on_overflow')
  else
    let listener.overflow = {-> execute('echomsg "webstorage: changes were missed: they were not read in time, are no longer kept, or the file was replaced; read the area again"', '')}
  endif
  let connection = a:area.connection
  " The listener is in place before any later message is looked at.
  let Received = {result -> [extend(connection.listeners, {result.subscription: listener}), result][1]}
  let subscribed = s:Call(connection, 'storage/subscribe', extend({'storage': a:area.storage}, options), [], Received)
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
