--- Suggestions that Neovim draws itself (0.12), with what it leaves out: words, lines, dismissal.
--- Knows `vim.lsp.inline_completion`; knows nothing of our own drawing.

local insertion = require('afterword.insertion')
local server = require('afterword.server')

local M = {}

--- Have Neovim look at a buffer.
---@param buf integer
function M.attach(buf)
  vim.lsp.inline_completion.enable(true, { bufnr = buf })
end

--- Whether a suggestion is on the screen: Neovim tells it by its marks alone.
---@return boolean
function M.is_shown()
  local space = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  return space ~= nil and #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, { limit = 1 }) > 0
end

--- Put the suggestion, or a part of it, into the text.
---
--- Ourselves, since Neovim would insert once more what was typed after it had asked.
---@param part string `accept`, `accept-word` or `accept-line`
---@return boolean accepted
function M.accept(part)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      local row, col = unpack(vim.api.nvim_win_get_cursor(0))
      local at_row, at_col, _, to_col = row - 1, col, row - 1, col
      if item.range then
        at_row, at_col, _, to_col = item.range:to_extmark()
      end
      if at_row ~= row - 1 or at_col > col then
        return nil
      end
      local line = vim.api.nvim_get_current_line()
      local whole = (item.insert_text:gsub('\r\n', '\n'))
      local typed = line:sub(at_col + 1, col)
      if not vim.startswith(whole, typed) or #whole == #typed then
        return nil
      end
      local rest = whole:sub(#typed + 1)
      local text = insertion.piece(rest, part)
      insertion.put(text, line:sub(col + 1, to_col + #typed))
      if text == rest then
        server.taken(item.command)
      end
      return nil
    end,
  })
end

--- Show another suggestion.
---@param step integer
function M.cycle(step)
  vim.lsp.inline_completion.select({ count = step })
end

--- Hide what is shown: Neovim does so when it is taken, and leaves the taking to us.
function M.dismiss()
  vim.lsp.inline_completion.get({
    on_accept = function()
      return nil
    end,
  })
end

--- Neovim asks when it begins to look at a buffer.
function M.trigger()
  local here = { bufnr = vim.api.nvim_get_current_buf() }
  vim.lsp.inline_completion.enable(false, here)
  vim.lsp.inline_completion.enable(true, here)
end

return M
