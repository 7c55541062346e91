-- Neovim's part of together/test.js: tells that it is ready, waits for the word, and increments.
local connection = require('webstorage').connect({ cmd = { vim.env.WEBSTORAGE_SERVER } })
local area = connection:open({ persistent = true, origin = 'https://together.test' })
local go
area:subscribe(function(event)
  go = event.newValue
end, { keys = { 'go' } })
area:set_item('ready/neovim', vim.env.TOGETHER_TEXT)
assert(vim.wait(30000, function()
  return go
end, 5))
for _ = 1, 25 do
  area:update('count', function(value)
    return tostring(tonumber(value) + 1)
  end)
end
area:set_item('done/neovim', go)
connection:stop()
