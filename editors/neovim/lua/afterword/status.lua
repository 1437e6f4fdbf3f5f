--- What Afterword is about, as the language server tells it: for status lines and for events.
--- Knows the words for it; knows nothing of suggestions.

local M = {}

--- What `b:afterword` and the event `User AfterwordStatus` hold.
---@class (exact) afterword.Status
---@field state string ready, learning, forgetting, paused, starting, no-model, degraded, draining,
---off, off-here, unavailable (there is no daemon), or missing (there is no language server)
---@field reason string What that means, and what to do about it, in a sentence.
---@field percent? integer Of what goes on: learning or forgetting.
---@field model string The model in use; empty before anything is known.

---@type afterword.Status
local now = { state = 'starting', reason = '', model = '' }

--- What is shown for a state; "ready" is the sign alone.
local words = {
  learning = ' learning',
  forgetting = ' forgetting',
  paused = ' paused',
  starting = ' starting',
  ['no-model'] = ' no model yet',
  degraded = ' !',
  off = ' off',
  ['off-here'] = ' off here',
  unavailable = ' no daemon',
  missing = ' not installed',
}

--- Set by who wants to be told once what came of forgetting.
---@type fun(sentence: string)?
M.on_forgotten = nil

---@return afterword.Status
function M.now()
  return now
end

--- A few characters for a status line; "" where Afterword does not look at the buffer.
---@return string
function M.line()
  if vim.b.afterword == nil then
    return ''
  end
  local percent = now.percent and (' %d %%'):format(now.percent) or ''
  return '✎' .. (words[now.state] or '') .. percent
end

--- The server has told how it is.
---@param told { state: string, detail: string, percent?: integer, model: string, forgotten: string }
function M.told(told)
  M.set({
    state = told.state,
    reason = told.detail or '',
    percent = told.percent ~= vim.NIL and told.percent or nil,
    model = told.model or '',
  })
  if (told.forgotten or '') ~= '' and M.on_forgotten then
    M.on_forgotten(told.forgotten)
    M.on_forgotten = nil
  end
end

---@param status afterword.Status
function M.set(status)
  now = status
  for _, client in ipairs(vim.lsp.get_clients({ name = 'afterword' })) do
    for buf in pairs(client.attached_buffers) do
      M.mark(buf)
    end
  end
  vim.api.nvim_exec_autocmds('User', {
    pattern = 'AfterwordStatus',
    modeline = false,
    data = now,
  })
  vim.cmd.redrawstatus({ bang = true })
end

--- Let a buffer have the status as a variable.
---@param buf integer
function M.mark(buf)
  if vim.api.nvim_buf_is_valid(buf) then
    vim.b[buf].afterword = now
  end
end

return M
