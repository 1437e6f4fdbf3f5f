--- How text gets into a buffer: all of a suggestion, or a word or a line of it.
--- Knows text and buffers; knows nothing of where the text comes from.

local M = {}

--- As much of a text as a key takes.
---@param text string
---@param part string `accept`, `accept-word` or `accept-line`
---@return string
function M.piece(text, part)
  local stop = #text
  if part == 'accept-word' then
    -- Blanks, then a word as the buffer has it, or what stands between two of them.
    stop = vim.fn.matchend(text, [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]])
  elseif part == 'accept-line' then
    stop = (text:find('\n', 2, true) or #text + 1) - 1
  end
  return text:sub(1, stop < 1 and #text or stop)
end

--- How many bytes right of the cursor a text stands for: all of `right` that comes in it.
---@param text string
---@param right string
---@return integer
local function covered(text, right)
  local at = 1
  for offset = 1, #right do
    local found = text:find(right:sub(offset, offset), at, true)
    if not found then
      return offset - 1
    end
    at = found + 1
  end
  return #right
end

--- Put a text at the cursor, in one step that can be undone, and the cursor behind it.
---@param text string
---@param right string What it takes the place of, as far as it holds it: closing brackets, quotes.
function M.put(text, right)
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(text, '\n', { plain = true })
  vim.bo.undolevels = vim.bo.undolevels -- what was typed before stays when this is undone
  vim.api.nvim_buf_set_text(0, row - 1, col, row - 1, col + covered(text, right), lines)
  local last = #lines
  vim.api.nvim_win_set_cursor(0, { row + last - 1, (last == 1 and col or 0) + #lines[last] })
end

return M
