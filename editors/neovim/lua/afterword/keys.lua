--- What the `<Plug>` maps do: act on what is shown, or be the key that was typed.
--- Knows which of the two ways of drawing is in use; knows nothing of drawing.

local M = {}

---@return table drawing `afterword.suggestion`, or what speaks to Neovim's own
local function drawing()
  local native = require('afterword.config').get().native
  return require(native and 'afterword.native' or 'afterword.suggestion')
end

--- Whether a suggestion is on the screen, so that a key may take it.
---@return boolean
function M.is_shown()
  return vim.fn.pumvisible() == 0 and drawing().is_shown()
end

--- Do what a map is called after.
---@param name string
---@return boolean done
function M.act(name)
  local draws = drawing()
  if name == 'trigger' then
    draws.trigger()
    return true
  elseif not M.is_shown() then
    return false
  elseif name == 'next' then
    draws.cycle(1)
  elseif name == 'previous' then
    draws.cycle(-1)
  elseif name == 'dismiss' then
    draws.dismiss()
  else
    return draws.accept(name)
  end
  return true
end

--- What a map types: a call of ours, or nothing but the key that it was given to.
---@param name string
---@return string
function M.pressed(name)
  local key = M.key_of(name)
  -- To go on in a snippet is what somebody pressed Tab for who is in one.
  if key == '<Tab>' and vim.snippet.active({ direction = 1 }) then
    return '<Cmd>lua vim.snippet.jump(1)<CR>'
  elseif name == 'trigger' or M.is_shown() then
    return ('<Cmd>lua require("afterword.keys").act("%s")<CR>'):format(name)
  end
  return key
end

--- The key that a user gave to a map; "" if there is none, or it was given by an expression.
---@param name string
---@return string
function M.key_of(name)
  local plug = ('<Plug>(afterword-%s)'):format(name)
  for _, maps in ipairs({ vim.api.nvim_buf_get_keymap(0, 'i'), vim.api.nvim_get_keymap('i') }) do
    for _, map in ipairs(maps) do
      if map.rhs == plug then
        return map.lhs
      end
    end
  end
  return ''
end

return M
