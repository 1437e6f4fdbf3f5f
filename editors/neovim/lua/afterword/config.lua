--- The settings of this plug-in: defaults, `vim.g.afterword`, and what `setup` was given.
--- Knows their names and types; knows nothing of what they do.

local M = {}

--- What a user may set: `vim.g.afterword` is one, and so is the argument of `setup`.
---@class (exact) afterword.Options
---@field cmd? string[] The language server and its arguments; found by itself when unset.
---@field settings? table<string, any> Passed on to it; all else it takes from `config.toml`.
---@field hide_with_menu? boolean Show nothing while the popup menu is open.
---@field native? boolean Leave the drawing to Neovim's own `vim.lsp.inline_completion` (0.12).

--- The same with every default filled in.
---@class (exact) afterword.Config
---@field cmd? string[]
---@field settings table<string, any>
---@field hide_with_menu boolean
---@field native boolean
local defaults = {
  settings = {}, -- `afterword config write` shows what all editors share
  hide_with_menu = true, -- two offers at one place are one too many
  native = false, -- Neovim's own waits 200 ms after a key, and takes no single words
}

---@type afterword.Options
local given = {}

--- Set options, over those of `vim.g.afterword`. Never needed.
---@param options? afterword.Options
function M.set(options)
  given = options or {}
end

--- The settings as they are now, and what is wrong with them. A wrong one has its default.
---@return afterword.Config, string[] mistakes
function M.get()
  local config, mistakes = vim.deepcopy(defaults), {}
  for _, options in ipairs({ vim.g.afterword or {}, given }) do
    for name, value in pairs(options) do
      local wanted = name == 'cmd' and 'table' or type(defaults[name])
      if wanted == 'nil' then
        mistakes[#mistakes + 1] = ('%s is unknown'):format(name)
      elseif type(value) ~= wanted then
        mistakes[#mistakes + 1] = ('%s must be a %s'):format(name, wanted)
      else
        config[name] = value
      end
    end
  end
  if config.native and not vim.lsp.inline_completion then
    config.native = false
    mistakes[#mistakes + 1] = 'native needs Neovim 0.12'
  end
  return config, mistakes
end

return M
