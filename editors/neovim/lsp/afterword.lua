-- The language server as Neovim's own client knows it; `vim.lsp.config('afterword', {...})` adds
-- to this. The plug-in starts it by itself, so `vim.lsp.enable('afterword')` is not needed.

---@type vim.lsp.Config
return {
  cmd = function(dispatchers, config)
    local server = require('afterword.server')
    local ours = vim.tbl_extend('force', dispatchers, {
      -- Neovim would stop whoever types with an error; the plug-in starts another one instead.
      on_exit = function(code, signal)
        server.exit = { code, signal }
        dispatchers.on_exit(0, 0)
      end,
    })
    local how = config and { cwd = config.cmd_cwd, env = config.cmd_env } or nil
    return vim.lsp.rpc.start(server.command() or { 'afterword-lsp' }, ours, how)
  end,
  root_markers = { '.git', '.hg' },
  capabilities = {
    -- Other servers mostly agree on UTF-16, and Neovim warns where two in a buffer do not.
    general = { positionEncodings = { 'utf-16' } },
    -- We draw ghost text, also where Neovim does not know it yet.
    textDocument = { inlineCompletion = { dynamicRegistration = false } },
  },
  handlers = {
    ['afterword/status'] = function(_, status)
      require('afterword.status').told(status)
    end,
  },
}
