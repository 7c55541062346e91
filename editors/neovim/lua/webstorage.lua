--- Web Storage for Neovim: a client of `webstorage-server`.
---
--- Areas are shared live by all Neovims and all other programs on this machine. Every function takes a
--- callback as its last argument and then returns at once; without one it waits, for a finite time, and raises
--- an error (a table with `name` and `message`, which prints as both).
local M = {}

--- An error, with the fields of the wire: `code`, `message`, `data`, and the `name` of the DOMException.
local Error = {}
Error.__index = Error
Error.__tostring = function(err)
  return ('webstorage: %s: %s'):format(err.name, err.message)
end

local function new_error(name, message, code, data)
  return setmetatable({ name = name, message = message, code = code, data = data }, Error)
end

--- @class webstorage.Connection
local Connection = {}
Connection.__index = Connection

--- @class webstorage.Area
local Area = {}
Area.__index = Area

--- The connections whose servers run, so that leaving Neovim ends them in order.
local open_connections = {}

--- Runs `start`, which takes a callback, and waits for that callback: the blocking form of every function.
local function wait_for(timeout, what, start)
  if vim.in_fast_event() then
    error(new_error('InvalidStateError', what .. ' cannot wait here (a fast event, |vim.in_fast_event()|): pass a callback'))
  end
  local done, err, result = false, nil, nil
  start(function(e, r)
    done, err, result = true, e, r
  end)
  -- The condition is looked at after each event, so that the interval costs nothing.
  local in_time = vim.wait(timeout, function()
    return done
  end, 50)
  if not in_time then
    error(new_error('TimeoutError', ('%s had no reply within %d ms; it may still take effect'):format(what, timeout)))
  end
  if err then
    error(err)
  end
  return result
end

--- Refuses options that nobody reads: a misspelt one would otherwise have no effect, and nobody would hear of it. The
--- result is an error, or nil.
local function refused(what, options, known)
  if type(options) ~= 'table' then
    return new_error('TypeError', ('%s: the options must be a table, not %s'):format(what, type(options)))
  end
  for name in pairs(options) do
    if not vim.tbl_contains(known, name) then
      local message = '%s: there is no option %s; the options are %s. Nothing was done.'
      return new_error('TypeError', message:format(what, vim.inspect(name), table.concat(known, ', ')))
    end
  end
end

--- Gives `err` to the callback if there is one, and else raises it. What calls this does nothing more.
local function refuse(err, callback)
  if not callback then
    error(err)
  end
  vim.schedule_wrap(callback)(err)
end

--- Fails every call that has no reply yet, because none can come.
function Connection:_end(message, name)
  if self.ended then
    return
  end
  self.ended = message
  open_connections[self] = nil
  local pending = self.pending
  self.pending = {}
  local ids = vim.tbl_keys(pending)
  table.sort(ids)
  for _, id in ipairs(ids) do
    pending[id].callback(new_error(name or 'InvalidStateError', message))
  end
end

--- Handles one message of the server. This is a fast event: what users passed is called later, in order.
function Connection:_receive(line)
  local ok, message = pcall(vim.json.decode, line, { luanil = { object = true } })
  if not ok then
    -- The reply is lost for its call, which is the oldest one, because replies come in the order of the calls.
    message = { id = self.oldest, error = { code = -32700, message = 'Neovim cannot read the reply: ' .. message } }
  end
  local params = message.params
  if message.method == 'storage/event' then
    local listener = self.listeners[params.subscription]
    if listener then
      vim.schedule(function()
        -- The subscription may have been ended since.
        if self.listeners[params.subscription] then
          listener.event(params)
        end
      end)
    end
  elseif message.method == 'storage/overflow' then
    local listener = self.listeners[params.subscription]
    if listener then
      vim.schedule(function()
        listener.overflow(params)
      end)
    end
  elseif message.method == nil then
    -- A message that the server could not read is answered with a null id; it is that of the oldest call.
    local id = message.id or self.oldest
    local call = self.pending[id]
    if not call then
      return
    end
    self.pending[id] = nil
    self.oldest = id + 1
    if message.error then
      local data = message.error.data
      call.callback(new_error((data or {}).name or 'Error', message.error.message, message.error.code, data))
    else
      if call.received then
        call.received(message.result)
      end
      call.callback(nil, message.result)
    end
  end
end

--- Sends a call. `received` sees the result before any later message is looked at.
function Connection:_call(method, params, callback, received)
  local later = vim.schedule_wrap(callback)
  if self.ended then
    later(new_error('InvalidStateError', self.ended))
    return
  end
  local id = self.next_id
  local ok, line = pcall(vim.json.encode, { jsonrpc = '2.0', id = id, method = method, params = params })
  if not ok then
    later(new_error('Error', method .. ': ' .. line))
    return
  end
  self.next_id = id + 1
  self.pending[id] = { callback = later, received = received }
  self.process:write(line .. '\n')
end

--- Calls, and waits if there is no callback.
function Connection:_request(method, params, callback, received)
  if callback then
    return self:_call(method, params, callback, received)
  end
  return wait_for(self.timeout, method, function(done)
    self:_call(method, params, done, received)
  end)
end

--- Starts a server and connects to it.
---
--- Options, all of them optional:
---   cmd          list: the server and its flags (`{ 'webstorage-server' }`)
---   storage_dir  absolute path: where persistent areas are kept, instead of the platform's directory
---   origin       the origin of areas that are opened without one
---   quota        bytes: the quota of new areas
---   timeout      ms: how long a function without callback waits (10000)
---   on_exit      function(message): the server ended without having been stopped
--- @param options table?
--- @param callback fun(err: table?, connection: webstorage.Connection?)?
function M.connect(options, callback)
  options = options or {}
  local wrong = refused('connect', options, { 'cmd', 'storage_dir', 'origin', 'quota', 'timeout', 'on_exit' })
  if wrong then
    return refuse(wrong, callback)
  end
  local cmd = options.cmd or { 'webstorage-server' }
  local self = setmetatable({
    timeout = options.timeout or 10000,
    origin = options.origin,
    pending = {},
    listeners = {},
    next_id = 1,
    oldest = 1,
  }, Connection)

  local function start(done)
    if vim.fn.executable(cmd[1]) == 0 then
      local message = ('the server %q was not found or is not executable: put webstorage-server on PATH, or pass its path as cmd')
      vim.schedule_wrap(done)(new_error('NotFoundError', message:format(cmd[1])))
      return
    end
    local rest, told = {}, ''
    local spawned, process = pcall(vim.system, cmd, {
      stdin = true,
      stdout = function(_, data)
        -- A message can come in many pieces, which are joined once, at its end.
        while data do
          local at = data:find('\n', 1, true)
          if not at then
            rest[#rest + 1] = data
            return
          end
          rest[#rest + 1] = data:sub(1, at - 1)
          local line = table.concat(rest)
          rest, data = {}, data:sub(at + 1)
          if line ~= '' then
            self:_receive(line)
          end
        end
      end,
      stderr = function(_, data)
        told = (told .. (data or '')):sub(-2000)
      end,
    }, function(result)
      local how = result.signal ~= 0 and ('by signal ' .. result.signal) or ('with code ' .. result.code)
      local message = vim.trim(('the server ended %s. %s'):format(how, vim.trim(told)))
      self.exit_code = result.code
      self:_end(self.stopping and 'the connection was stopped' or message)
      -- Of one that never answered, the error of connect tells.
      if self.web_storage and not self.stopping and options.on_exit then
        vim.schedule(function()
          options.on_exit(message)
        end)
      end
    end)
    if not spawned then
      vim.schedule_wrap(done)(new_error('NotFoundError', ('the server %q cannot be started: %s'):format(cmd[1], process)))
      return
    end
    self.process = process
    self.pid = process.pid
    open_connections[self] = true
    local answered = false
    vim.defer_fn(function()
      if not answered and not self.ended then
        -- What does not answer is not left running.
        self.process:kill('sigkill')
        self:_end(('the server %q did not answer within %d ms'):format(cmd[1], self.timeout), 'TimeoutError')
      end
    end, self.timeout)
    self:_call('initialize', {
      processId = vim.fn.getpid(),
      clientInfo = { name = 'Neovim', version = tostring(vim.version()) },
      capabilities = vim.empty_dict(),
      initializationOptions = {
        -- Neovim's JSON reader refuses lone surrogates, so the server writes U+FFFD for them.
        illFormedStrings = 'replace',
        storageDir = options.storage_dir,
        origin = options.origin,
        quota = options.quota,
      },
    }, function(err, result)
      answered = true
      if err then
        self:stop(function() end)
        done(err)
        return
      end
      self.web_storage = result.capabilities.experimental.webStorage
      self.process:write('{"jsonrpc":"2.0","method":"initialized","params":{}}\n')
      done(nil, self)
    end)
  end

  if callback then
    return start(callback)
  end
  return wait_for(2 * self.timeout, 'connect', start)
end

--- Opens an area.
---
--- Options: `persistent` (boolean: shared and kept, or of this connection only); `origin`, whose area it is, which a
--- persistent area needs unless `connect` was given one; and optionally `quota` (bytes) and `url` (told to others with
--- each change).
function Connection:open(options, callback)
  local wrong = refused('open', options, { 'persistent', 'origin', 'quota', 'url' })
  if not wrong and type(options.persistent) ~= 'boolean' then
    wrong = new_error('TypeError', 'open: the option persistent must be true (shared and kept) or false (of this connection only)')
  elseif not wrong and options.persistent and not (options.origin or self.origin) then
    -- The server's default origin is everybody's.
    wrong = new_error('TypeError', "open: a persistent area needs an origin of its own, such as 'https://my-plugin.example'")
  end
  if wrong then
    return refuse(wrong, callback)
  end
  local function area(result)
    return setmetatable({
      connection = self,
      storage = result.storage,
      persistent = result.persistent,
      origin = result.origin,
      quota = result.quota,
    }, Area)
  end
  local params = { persistent = options.persistent, origin = options.origin, quota = options.quota, url = options.url }
  if callback then
    return self:_call('storage/open', params, function(err, result)
      callback(err, not err and area(result) or nil)
    end)
  end
  return area(self:_request('storage/open', params))
end

--- Stops the server: what was sent is carried out first. The result is the server's exit code.
function Connection:stop(callback)
  local function start(done)
    if self.stopping or self.ended then
      vim.schedule_wrap(done)(nil, self.exit_code)
      return
    end
    self.stopping = true
    self:_call('shutdown', nil, function()
      if not self.ended then
        self.process:write('{"jsonrpc":"2.0","method":"exit"}\n')
        self.process:write(nil)
      end
    end)
    local timer, waited = vim.uv.new_timer(), 0
    timer:start(1, 5, function()
      waited = waited + 5
      if self.exit_code then
        timer:close()
        vim.schedule(function()
          done(nil, self.exit_code)
        end)
      elseif waited >= self.timeout then
        -- A server that does not end by itself must not outlive the editor.
        waited = -math.huge
        self.process:kill('sigkill')
      end
    end)
  end
  if callback then
    return start(callback)
  end
  return wait_for(2 * self.timeout, 'stop', start)
end

--- The value of a key, or nil.
function Area:get_item(key, callback)
  return self.connection:_request('storage/getItem', { storage = self.storage, key = key }, callback)
end

--- Sets the value of a key. Keys and values are UTF-8 text; NUL is allowed.
function Area:set_item(key, value, callback)
  return self.connection:_request('storage/setItem', { storage = self.storage, key = key, value = value }, callback)
end

--- Removes an item, if there is one.
function Area:remove_item(key, callback)
  return self.connection:_request('storage/removeItem', { storage = self.storage, key = key }, callback)
end

--- Removes all items.
function Area:clear(callback)
  return self.connection:_request('storage/clear', { storage = self.storage }, callback)
end

--- The key at a place in key order, counted from 0, or nil past the end.
function Area:key(index, callback)
  return self.connection:_request('storage/key', { storage = self.storage, index = index }, callback)
end

--- The number of items.
function Area:length(callback)
  return self.connection:_request('storage/length', { storage = self.storage }, callback)
end

--- The keys, in key order.
function Area:keys(callback)
  return self.connection:_request('storage/keys', { storage = self.storage }, callback)
end

--- The items, in key order and of one moment: a list of `{ key = …, value = … }`.
function Area:entries(callback)
  return self.connection:_request('storage/entries', { storage = self.storage }, callback)
end

--- Makes several changes, all of them or none: `{ ['if'] = { { key, value } … }, clear = true, remove = { key … },
--- set = { { key, value } … } }`, with the items as `{ key = …, value = … }` and `value = vim.NIL` in a condition
--- for "no such item". A condition that is not met is a ConstraintError.
function Area:transact(changes, callback)
  local params = vim.tbl_extend('error', { storage = self.storage }, changes)
  return self.connection:_request('storage/transact', params, callback)
end

--- Changes one item atomically, whatever others do meanwhile: `change` gets the value (nil if there is none) and
--- returns the new one (nil to remove it). It can be called several times. The result is the new value.
function Area:update(key, change, callback)
  local limit = vim.uv.now() + self.connection.timeout
  local function start(done)
    local function try(value)
      local ok, new = pcall(change, value)
      if not ok then
        return done(new)
      end
      if new == value then
        return done(nil, new)
      end
      local changes = { ['if'] = { { key = key, value = value or vim.NIL } } }
      if new ~= nil then
        changes.set = { { key = key, value = new } }
      else
        changes.remove = { key }
      end
      self:transact(changes, function(err)
        if not err then
          return done(nil, new)
        end
        if err.name ~= 'ConstraintError' then
          return done(err)
        end
        local held = err.data.unmet[1].value
        if held == value then
          -- What is stored differs from what could be read of it, so no condition can ever name it.
          return done(new_error('DataError', 'the value holds a lone surrogate, which Neovim cannot give back; set_item replaces it', err.code))
        end
        if vim.uv.now() > limit then
          return done(new_error('TimeoutError', ('others kept changing the item for %d ms'):format(self.connection.timeout)))
        end
        try(held)
      end)
    end
    self:get_item(key, function(err, value)
      if err then
        return done(err)
      end
      try(value)
    end)
  end
  if callback then
    return start(callback)
  end
  return wait_for(2 * self.connection.timeout, 'update', start)
end

--- Calls `listener(event)` for each change that others make to the area, in order and once. The event has `key`,
--- `oldValue`, `newValue` (all nil after a clear), `url` and `sequence`.
---
--- Options: `keys` (list) or `prefix`; `values = false` for events without values; `since` (a sequence: what came after
--- it is sent too, or `gap` of the result says that it is not known any more); `include_self`; `on_overflow`
--- (function: events are missing, as when this Neovim did not read in time; read the area again).
---
--- The result is a subscription with `sequence`, `gap` and `:stop(callback?)`.
function Area:subscribe(listener, options, callback)
  options = options or {}
  local wrong = refused('subscribe', options, { 'keys', 'prefix', 'values', 'since', 'include_self', 'on_overflow' })
  if wrong then
    return refuse(wrong, callback)
  end
  local connection = self.connection
  local params = {
    storage = self.storage,
    keys = options.keys,
    prefix = options.prefix,
    values = options.values,
    since = options.since,
    includeSelf = options.include_self,
  }
  local overflow = options.on_overflow
    or function()
      vim.notify('webstorage: changes were missed: they were not read in time, are no longer kept, or the file was replaced; read the area again', vim.log.levels.WARN)
    end
  local function received(result)
    connection.listeners[result.subscription] = { event = listener, overflow = overflow }
  end
  local function subscription(result)
    return {
      sequence = result.sequence,
      gap = result.gap,
      stop = function(_, stopped)
        connection.listeners[result.subscription] = nil
        return connection:_request('storage/unsubscribe', { subscription = result.subscription }, stopped)
      end,
    }
  end
  if callback then
    return connection:_call('storage/subscribe', params, function(err, result)
      callback(err, not err and subscription(result) or nil)
    end, received)
  end
  return subscription(connection:_request('storage/subscribe', params, nil, received))
end

--- Closes the area. Its items stay: those of a session area until the connection ends.
function Area:close(callback)
  return self.connection:_request('storage/close', { storage = self.storage }, callback)
end

vim.api.nvim_create_autocmd('VimLeavePre', {
  group = vim.api.nvim_create_augroup('webstorage', {}),
  desc = 'Lets the servers carry out what was sent to them',
  callback = function()
    for connection in pairs(open_connections) do
      connection.timeout = math.min(connection.timeout, 1000)
      pcall(connection.stop, connection)
    end
  end,
})

return M
