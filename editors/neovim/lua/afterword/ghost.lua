--- Ghost text on the screen. Knows extmarks; knows nothing of where a text comes from.

local M = {}

local space = vim.api.nvim_create_namespace('afterword')
local HIGHLIGHT = 'AfterwordSuggestion'

--- The group is a link by default, so that a colour scheme or a user may set it.
local function colour()
  vim.api.nvim_set_hl(0, HIGHLIGHT, { link = 'NonText', default = true })
end
colour()
vim.api.nvim_create_autocmd('ColorScheme', {
  group = vim.api.nvim_create_augroup('afterword.ghost', {}),
  callback = colour,
})

--- Tabs as they will look: a virtual text has no columns to align them by.
---@param line string
---@param column integer Of the screen, where the line begins.
local function expanded(line, column)
  if not line:find('\t', 1, true) then
    return line
  end
  local width = vim.bo.vartabstop == '' and vim.bo.tabstop
    or tonumber(vim.bo.vartabstop:match('%d+'))
  local parts = {}
  for before, tab in line:gmatch('([^\t]*)(\t?)') do
    column = column + vim.fn.strdisplaywidth(before, column)
    local n = tab == '' and 0 or width - column % width
    column = column + n
    parts[#parts + 1] = before .. (' '):rep(n)
  end
  return table.concat(parts)
end

--- Draw a text at a place of the current buffer, in place of what was drawn.
---
--- What stands right of the place and is part of the text (`n_replaced` bytes, brackets that an
--- editor closed) stays where it is: the text is drawn around it.
---@param buf integer
---@param row integer From 0.
---@param col integer Bytes, from 0.
---@param text string
---@param n_replaced integer
function M.show(buf, row, col, text, n_replaced)
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, false)[1] or ''
  local lines = vim.split(text, '\n', { plain = true })
  local first, pieces, at = lines[1], {}, 1
  for offset = 0, n_replaced - 1 do
    local there = line:sub(col + offset + 1, col + offset + 1)
    local found = first:find(there, at, true)
    if not found then
      break
    end
    pieces[#pieces + 1] = first:sub(at, found - 1)
    at = found + 1
  end
  pieces[#pieces + 1] = first:sub(at)

  local below = {}
  for i = 2, #lines do
    below[#below + 1] = { { expanded(lines[i], 0), HIGHLIGHT } }
  end
  local column = vim.fn.strdisplaywidth(line:sub(1, col))
  for i, piece in ipairs(pieces) do
    vim.api.nvim_buf_set_extmark(buf, space, row, col + i - 1, {
      id = i, -- the same mark, so that it is never gone between two texts
      virt_text = piece ~= '' and { { expanded(piece, column), HIGHLIGHT } } or nil,
      virt_text_pos = 'inline',
      virt_lines = i == #pieces and #below > 0 and below or nil,
      hl_mode = 'combine',
      undo_restore = false,
    })
  end
  M.clear(buf, #pieces)
end

--- Take it away, or all but the first pieces.
---@param buf integer
---@param n_kept? integer
function M.clear(buf, n_kept)
  if not vim.api.nvim_buf_is_valid(buf) then
    return
  end
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(buf, space, 0, -1, {})) do
    if mark[1] > (n_kept or 0) then
      vim.api.nvim_buf_del_extmark(buf, space, mark[1])
    end
  end
end

return M
