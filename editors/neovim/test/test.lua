-- Tests of the Neovim client in two Neovims: this one, and another that it starts and drives over RPC.
-- Prints a line for each check; editors/test counts them.
local webstorage = require('webstorage')
local server = assert(vim.env.WEBSTORAGE_SERVER)
local runtime = vim.fs.dirname(vim.fs.dirname(vim.fs.abspath(arg[0])))
local limit = 15000

local function check(name, body)
  local ok, why = xpcall(body, function(err)
    return type(err) == 'table' and tostring(err) or debug.traceback(err)
  end)
  io.stdout:write(ok and ('ok neovim: %s\n'):format(name) or ('not ok neovim: %s: %s\n'):format(name, tostring(why):gsub('\n', '\n  ')))
  io.stdout:flush()
end

local function equal(got, wanted)
  if not vim.deep_equal(got, wanted) then
    error(('wanted %s, got %s'):format(vim.inspect(wanted), vim.inspect(got)), 2)
  end
end

local function wait(what, condition)
  if not vim.wait(limit, condition, 5) then
    error('waited in vain for ' .. what, 2)
  end
end

local function failure(body)
  local ok, err = pcall(body)
  equal(ok, false)
  return err
end

-- Kept open for the whole test, in this editor and in the other.
local connection = webstorage.connect({ cmd = { server } })
local area = connection:open({ persistent = true, origin = 'https://neovim.test' })
local other = vim.fn.jobstart(
  { vim.v.progpath, '--clean', '--headless', '--embed', '--cmd', 'set rtp^=' .. runtime },
  { rpc = true }
)
local function there(code, ...)
  return vim.rpcrequest(other, 'nvim_exec_lua', code, { ... })
end

--- The process ids of the running servers that `pid` has started.
local function servers_of(pid)
  local found = {}
  for _, child in ipairs(vim.api.nvim_get_proc_children(pid)) do
    local info = vim.api.nvim_get_proc(child)
    if info and info.name:find('webstorage', 1, true) then
      found[#found + 1] = child
    end
  end
  return found
end

local function is_running(pid)
  local stat = io.open(('/proc/%d/stat'):format(pid))
  if not stat then
    return false
  end
  local state = stat:read('*a'):match('%) (%a)')
  stat:close()
  return state ~= 'Z'
end

check('options that nobody reads, and persistent areas without an origin, are refused', function()
  local servers = #servers_of(vim.fn.getpid())
  local function refuses(err, ...)
    equal(err.name, 'TypeError')
    for _, part in ipairs({ ... }) do
      assert(err.message:find(part, 1, true), err.message)
    end
  end
  refuses(failure(function() webstorage.connect({ cmd = { server }, orign = 'https://a.test' }) end), '"orign"', 'origin')
  refuses(failure(function() connection:open({ persistent = false, orign = 'https://a.test' }) end), '"orign"', 'origin')
  refuses(failure(function() area:subscribe(print, { key = 'a' }) end), '"key"', 'keys')
  refuses(failure(function() connection:open() end), 'table')
  refuses(failure(function() connection:open({ origin = 'https://a.test' }) end), 'persistent')
  refuses(failure(function() connection:open({ persistent = true }) end), 'origin')
  local told
  connection:open({ persistent = true }, function(err) told = err end)
  wait('the error', function() return told end)
  refuses(told, 'origin')
  equal(#servers_of(vim.fn.getpid()), servers)
  local own = webstorage.connect({ cmd = { server }, origin = 'https://own.test' })
  equal(own:open({ persistent = true }).origin, 'https://own.test')
  own:stop()
end)

check('every function of an area, waiting', function()
  local session = connection:open({ persistent = false })
  equal(session.origin, 'http://localhost')
  equal(session:get_item('a'), nil)
  session:set_item('b', '1')
  session:set_item('a', '')
  session:set_item('b', '2')
  equal(session:get_item('b'), '2')
  equal(session:get_item('a'), '')
  equal(session:length(), 2)
  equal({ session:key(0), session:key(1), session:key(2) }, { 'b', 'a', nil })
  equal(session:keys(), { 'b', 'a' })
  equal(session:entries(), { { key = 'b', value = '2' }, { key = 'a', value = '' } })
  session:remove_item('b')
  equal(session:keys(), { 'a' })
  session:clear()
  equal(session:length(), 0)
  session:close()
  equal(failure(function() session:length() end).name, 'InvalidStateError')
end)

check('callbacks come in the order of the calls', function()
  local session = connection:open({ persistent = false, origin = 'https://order.test' })
  local seen = {}
  for i = 1, 50 do
    session:set_item('n', tostring(i), function(err) seen[#seen + 1] = err or ('set ' .. i) end)
    session:get_item('n', function(err, value) seen[#seen + 1] = err or ('got ' .. value) end)
  end
  equal(#seen, 0)
  wait('100 callbacks', function() return #seen == 100 end)
  for i = 1, 50 do
    equal({ seen[2 * i - 1], seen[2 * i] }, { 'set ' .. i, 'got ' .. i })
  end
end)

check('connecting and opening with callbacks', function()
  local got
  webstorage.connect({ cmd = { server } }, function(err, second)
    assert(not err, err)
    second:open({ persistent = false }, function(open_err, opened)
      assert(not open_err, open_err)
      opened:set_item('k', 'v', function()
        opened:get_item('k', function(_, value)
          second:stop(function(_, code) got = { value, code } end)
        end)
      end)
    end)
  end)
  wait('the callbacks', function() return got end)
  equal(got, { 'v', 0 })
end)

check('a write in one Neovim is seen by the next read in another', function()
  there([[
    local server = ...
    connection = require('webstorage').connect({ cmd = { server } })
    area = connection:open({ persistent = true, origin = 'https://neovim.test', url = 'https://neovim.test/other' })
    events = {}
    area:subscribe(function(event) events[#events + 1] = event end)
  ]], server)
  for i = 1, 20 do
    area:set_item('turn', tostring(i))
    equal(there([[return area:get_item('turn')]]), tostring(i))
    there([[area:set_item('answer', ...)]], tostring(i))
    equal(area:get_item('answer'), tostring(i))
  end
end)

check('changes reach the other Neovim as events, in order, and not the one that made them', function()
  local mine = {}
  local subscription = area:subscribe(function(event) mine[#mine + 1] = event end)
  there('events = {}')
  area:set_item('theme', 'dark')
  area:set_item('theme', 'dark')
  area:set_item('theme', 'light')
  area:remove_item('theme')
  area:clear()
  local told = there([[vim.wait(..., function() return #events >= 4 end, 5) return events]], limit)
  local brief = vim.tbl_map(function(event) return { event.key or '-', event.oldValue or '-', event.newValue or '-' } end, told)
  equal(brief, { { 'theme', '-', 'dark' }, { 'theme', 'dark', 'light' }, { 'theme', 'light', '-' }, { '-', '-', '-' } })
  equal(told[1].url, 'https://neovim.test')
  there([[area:set_item('from', 'other')]])
  wait('the event here', function() return #mine >= 1 end)
  equal({ #mine, mine[1].key, mine[1].newValue, mine[1].url }, { 1, 'from', 'other', 'https://neovim.test/other' })
  subscription:stop()
end)

check('a subscription tells only of its keys, and what came since', function()
  local first = area:subscribe(function() end)
  there([[area:set_item('x.1', 'a') area:set_item('y', 'b') area:set_item('x.2', 'c')]])
  local seen = {}
  local second = area:subscribe(function(event) seen[#seen + 1] = event.key .. '=' .. event.newValue end, { prefix = 'x.', since = first.sequence })
  equal(second.gap, false)
  wait('two events', function() return #seen >= 2 end)
  equal(seen, { 'x.1=a', 'x.2=c' })
  first:stop()
  second:stop()
end)

check('two Neovims that increment one item 100 times each end at 200', function()
  area:set_item('count', '0')
  local function increments(target, count, finished)
    if count == 0 then
      return finished()
    end
    target:update('count', function(value) return tostring(tonumber(value) + 1) end, function(err)
      assert(not err, err)
      increments(target, count - 1, finished)
    end)
  end
  there(([[
    finished = false
    local function increments(count)
      if count == 0 then finished = true return end
      area:update('count', function(value) return tostring(tonumber(value) + 1) end, function(err)
        assert(not err, err)
        increments(count - 1)
      end)
    end
    increments(100)
  ]]))
  local finished = false
  increments(area, 100, function() finished = true end)
  wait('the increments here', function() return finished end)
  equal(there([[return vim.wait(..., function() return finished end, 5)]], limit), true)
  equal(area:get_item('count'), '200')
end)

check('a transaction is seen as a whole or not at all', function()
  area:transact({ set = { { key = 'from', value = '100' }, { key = 'to', value = '0' } } })
  there([[
    torn, reads, reading = 0, 0, true
    local function read()
      if not reading then return end
      area:entries(function(err, items)
        local sum = 0
        for _, item in ipairs(items) do
          if item.key == 'from' or item.key == 'to' then sum = sum + tonumber(item.value) end
        end
        reads = reads + 1
        if sum ~= 100 then torn = torn + 1 end
        read()
      end)
    end
    read()
  ]])
  for i = 1, 100 do
    area:transact({ set = { { key = 'from', value = tostring(100 - i) }, { key = 'to', value = tostring(i) } } })
  end
  local seen = there([[vim.wait(..., function() return reads > 10 end, 5) reading = false return { torn, reads > 10 }]], limit)
  equal(seen, { 0, true })
  local err = failure(function()
    area:transact({ ['if'] = { { key = 'from', value = 'nothing such' } }, clear = true })
  end)
  equal({ err.name, err.data.unmet[1].value }, { 'ConstraintError', '0' })
  equal(area:get_item('to'), '100')
end)

check('NUL, quotes, line ends and every plane are exact', function()
  for _, text in ipairs({ 'a\0b', '\0', 'line\nend\r\n', '"\\', '\226\128\168', '🦀 ünï', '\127\1' }) do
    area:set_item(text, text .. text)
    equal(there([[return area:get_item(...)]], text), text .. text)
    area:remove_item(text)
  end
end)

check('a value of 1 MiB is exact', function()
  local large = ('0123456789abcde\n'):rep(65536)
  area:set_item('large', large)
  equal(there([[local value = area:get_item('large') return { #value, vim.fn.sha256(value) }]]), { #large, vim.fn.sha256(large) })
  area:remove_item('large')
end)

check('a lone surrogate of another program reads as U+FFFD, and update refuses to guess', function()
  vim.fn.system({ server }, table.concat({
    [[{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[true,"https://neovim.test"]}]],
    [[{"jsonrpc":"2.0","id":2,"method":"setItem","params":[1,"lone","<\ud800>"]}]],
    '',
  }, '\n'))
  equal(area:get_item('lone'), '<\239\191\189>')
  local err = failure(function() area:update('lone', function() return 'x' end) end)
  equal(err.name, 'DataError')
  area:set_item('lone', 'mended')
  equal(area:get_item('lone'), 'mended')
end)

check('text that is not UTF-8 is an error and changes nothing', function()
  area:set_item('text', 'before')
  local err = failure(function() area:set_item('text', '\255') end)
  equal(err.code, -32700)
  assert(err.message:find('UTF%-8'), err.message)
  equal(area:get_item('text'), 'before')
end)

check('errors name the DOMException and its numbers', function()
  local small = connection:open({ persistent = false, origin = 'https://small.test', quota = 16 })
  local err = failure(function() small:set_item('key', 'far too long for it') end)
  equal({ err.name, err.code, err.data.quota }, { 'QuotaExceededError', 22, 16 })
  assert(tostring(err):find('^webstorage: QuotaExceededError: '), tostring(err))
  equal(failure(function() connection:open({ persistent = true, origin = 'null' }) end).name, 'SecurityError')
end)

check('a missing server is told clearly, at once', function()
  local err = failure(function() webstorage.connect({ cmd = { '/nowhere/webstorage-server' } }) end)
  equal(err.name, 'NotFoundError')
  assert(err.message:find('/nowhere/webstorage-server', 1, true) and err.message:find('not found', 1, true), err.message)
end)

check('a program that is no such server is told clearly', function()
  local err = failure(function() webstorage.connect({ cmd = { 'sh', '-c', 'echo no such thing >&2; exit 3' } }) end)
  equal(err.name, 'InvalidStateError')
  assert(err.message:find('code 3', 1, true) and err.message:find('no such thing', 1, true), err.message)
end)

check('a server that does not answer is a TimeoutError, and is not left running', function()
  local err = failure(function() webstorage.connect({ cmd = { 'sleep', '60' }, timeout = 200 }) end)
  equal(err.name, 'TimeoutError')
  wait('the end of the program', function()
    return #vim.tbl_filter(function(child)
      return (vim.api.nvim_get_proc(child) or {}).name == 'sleep'
    end, vim.api.nvim_get_proc_children(vim.fn.getpid())) == 0
  end)
end)

check('a server that is killed fails its calls, the later ones too, and is told of', function()
  local told
  local doomed = webstorage.connect({ cmd = { server }, on_exit = function(message) told = message end })
  local session = doomed:open({ persistent = false })
  vim.uv.kill(doomed.pid, 'sigstop')
  local err
  session:get_item('k', function(e) err = e end)
  vim.uv.kill(doomed.pid, 'sigkill')
  wait('the failed call', function() return err and told end)
  equal(err.name, 'InvalidStateError')
  assert(told:find('signal 9', 1, true), told)
  equal(failure(function() session:get_item('k') end).message, told)
end)

check('stopping carries out what was sent, and ends the server with code 0', function()
  local second = webstorage.connect({ cmd = { server } })
  local pid = second.pid
  local persistent = second:open({ persistent = true, origin = 'https://neovim.test' })
  persistent:set_item('last', 'words', function() end)
  equal(second:stop(), 0)
  equal(is_running(pid), false)
  equal(area:get_item('last'), 'words')
  equal(failure(function() persistent:length() end).name, 'InvalidStateError')
end)

check('quitting Neovim carries out what was sent and leaves no server behind', function()
  local pid = there([[
    for i = 1, 200 do area:set_item('quit', tostring(i), function() end) end
    return connection.pid
  ]])
  equal(is_running(pid), true)
  pcall(there, 'vim.cmd("qall!")')
  wait('the end of the server', function() return not is_running(pid) end)
  equal(area:get_item('quit'), '200')
end)

check('killing Neovim leaves no server behind', function()
  local doomed = vim.fn.jobstart({ vim.v.progpath, '--clean', '--headless', '--embed', '--cmd', 'set rtp^=' .. runtime }, { rpc = true })
  local pids = vim.rpcrequest(doomed, 'nvim_exec_lua', [[
    connection = require('webstorage').connect({ cmd = { ... } })
    return { vim.fn.getpid(), connection.pid }
  ]], { server })
  equal({ is_running(pids[1]), is_running(pids[2]) }, { true, true })
  vim.uv.kill(pids[1], 'sigkill')
  wait('the end of the server', function() return not is_running(pids[2]) end)
end)

check('this editor has one server at the end, and none after stopping', function()
  equal(servers_of(vim.fn.getpid()), { connection.pid })
  equal(connection:stop(), 0)
  equal(servers_of(vim.fn.getpid()), {})
end)
