--- The language server: where its program is, one client for all buffers, and what it is asked.
--- Knows Neovim's client; knows nothing of suggestions.

local config = require('afterword.config')
local status = require('afterword.status')

local M = {}

local NAME = 'afterword'
local MOST_RESTARTS = 3 -- by itself; what dies a fourth time needs somebody to look at it
local RESTART_MS = 1000 -- so that a server which dies at once does not keep a core busy
local REMEDY = 'in the folder of Afterword: `pipx install .` (or pip), then `:Afterword restart`'

local n_restarts = 0
local is_restarting = false
---@type integer? The buffer that the status is about.
local looked_at
---@type table<integer, string> The language by which the server knows a buffer.
local languages = {}

--- How the process ended, where Neovim is not to make an error of it: code and signal.
---@type { [1]: integer, [2]: integer }?
M.exit = nil

-- -- where it is ------------------------------------------------------------------------------

--- Where the program is looked for, the first that is there wins: name and path of each place.
---@return { [1]: string, [2]: string }[]
function M.places()
  local home, data = vim.env.HOME or '~', vim.env.XDG_DATA_HOME
  data = data and data ~= '' and data or home .. '/.local/share'
  local is_installed, installed = pcall(require, 'afterword.installed') -- `afterword install` wrote
  local environment = vim.env.VIRTUAL_ENV
  return {
    { 'afterword install', is_installed and installed.server or '' },
    { '$VIRTUAL_ENV', environment and environment .. '/bin/afterword-lsp' or '' },
    { '$PATH', vim.fn.exepath('afterword-lsp') },
    { '~/.local/bin', home .. '/.local/bin/afterword-lsp' },
    { 'uv tool', (vim.env.UV_TOOL_DIR or data .. '/uv/tools') .. '/afterword/bin/afterword-lsp' },
    { 'pipx', (vim.env.PIPX_HOME or data .. '/pipx') .. '/venvs/afterword/bin/afterword-lsp' },
    { 'pipx', home .. '/.local/pipx/venvs/afterword/bin/afterword-lsp' },
  }
end

--- The command that starts it, and where that comes from; nil if it is not to be found.
---@return string[]?, string? origin
function M.command()
  local set = config.get().cmd
  if set then
    return vim.fn.executable(set[1] or '') == 1 and set or nil, 'cmd'
  end
  for _, place in ipairs(M.places()) do
    if place[2] ~= '' and vim.fn.executable(place[2]) == 1 then
      return { place[2] }, place[1]
    end
  end
end

--- A program of Afterword's own, which is installed beside the server.
---@param name string
---@return string
function M.program(name)
  local command = M.command()
  local beside = command and vim.fs.dirname(vim.fn.exepath(command[1])) .. '/' .. name
  return beside and vim.fn.executable(beside) == 1 and beside or name
end

-- -- one client -------------------------------------------------------------------------------

--- The client that serves a buffer, or any at all.
---@param buf? integer
---@return vim.lsp.Client?
function M.client(buf)
  local client = vim.lsp.get_clients({ name = NAME, bufnr = buf })[1]
  return client and not client:is_stopped() and client or nil
end

--- Have the server look at a buffer, and start it if it does not run.
---@param buf integer
function M.attach(buf)
  if not vim.api.nvim_buf_is_loaded(buf) or vim.bo[buf].buftype ~= '' then
    return
  end
  local client = M.client(buf)
  if client then
    if languages[buf] == vim.bo[buf].filetype then
      return M.look_at(buf)
    end
    vim.lsp.buf_detach_client(buf, client.id) -- it is told the language when a buffer is opened
  end
  local settings = vim.deepcopy(vim.lsp.config[NAME])
  if type(settings.cmd) == 'function' and not M.command() then
    return M.missing(buf)
  end
  M.let_go_of_nameless(buf)
  local root = vim.fs.root(buf, settings.root_markers or {}) or vim.fn.getcwd()
  settings.name = NAME
  settings.root_dir = root
  settings.settings =
    vim.tbl_deep_extend('force', settings.settings or {}, { afterword = config.get().settings })
  settings.on_exit = vim.schedule_wrap(M.ended)
  local id = vim.lsp.start(settings, {
    bufnr = buf,
    silent = true,
    reuse_client = function(other)
      return other.name == NAME and not other:is_stopped()
    end,
  })
  client = id and vim.lsp.get_client_by_id(id)
  if client then
    languages[buf] = vim.bo[buf].filetype
    M.add_folder(client, root)
  end
end

--- Have the status be that of a buffer: it may be off there. LSP knows of no change of window.
---@param buf integer
---@param is_other? boolean It may be another than when it was last asked for.
function M.look_at(buf, is_other)
  if is_other or buf ~= looked_at then
    looked_at = buf
    M.ask('status', { vim.uri_from_bufnr(buf) }, function(answer)
      if answer.state and buf == looked_at then
        status.told(answer)
      end
    end)
  end
end

--- Buffers without a name have one URI between them: the server knows the newest.
---@param buf integer
function M.let_go_of_nameless(buf)
  local client = vim.api.nvim_buf_get_name(buf) == '' and M.client()
  for other in pairs(client and client.attached_buffers or {}) do
    if other ~= buf and vim.api.nvim_buf_get_name(other) == '' then
      vim.lsp.buf_detach_client(other, client.id)
    end
  end
end

--- Tell a running server of one more folder, by which it names the files below.
---@param client vim.lsp.Client
---@param folder string
function M.add_folder(client, folder)
  local uri = vim.uri_from_fname(folder)
  client.workspace_folders = client.workspace_folders or {}
  for _, known in ipairs(client.workspace_folders) do
    if known.uri == uri then
      return
    end
  end
  local added = { uri = uri, name = vim.fs.basename(folder) }
  table.insert(client.workspace_folders, added)
  client:notify('workspace/didChangeWorkspaceFolders', {
    event = { added = { added }, removed = {} },
  })
end

--- Without the server there is nothing to do but to say how to get it: once, not at every start.
---@param buf integer
function M.missing(buf)
  local reason = 'afterword-lsp was not found; ' .. REMEDY
  status.set({ state = 'missing', reason = reason, model = '' })
  status.mark(buf)
  local note = vim.fn.stdpath('state') .. '/afterword-was-missing'
  if not vim.uv.fs_stat(note) then
    vim.fn.mkdir(vim.fs.dirname(note), 'p')
    pcall(vim.fn.writefile, { 'The user was told so.' }, note)
    -- Short: what does not fit below the text waits for a key.
    vim.notify('Afterword is not installed; see :checkhealth afterword', vim.log.levels.WARN)
  end
end

--- The server has ended. If nobody wanted that it starts again.
---@param code integer
---@param signal integer
function M.ended(code, signal)
  code, signal = unpack(M.exit or { code, signal })
  M.exit = nil
  local is_wanted = code == 0 and (signal == 0 or signal == 15)
  if vim.v.exiting ~= vim.NIL or (is_wanted and not is_restarting) then
    return
  elseif not is_restarting then
    n_restarts = n_restarts + 1
  end
  if n_restarts > MOST_RESTARTS then
    status.set({
      state = 'unavailable',
      reason = 'the language server ends again and again',
      model = '',
    })
    return
  end
  vim.defer_fn(M.attach_all, is_restarting and 0 or RESTART_MS)
  is_restarting = false
end

--- Have the server look at every buffer that is open.
function M.attach_all()
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    if vim.bo[buf].buflisted then
      M.attach(buf)
    end
  end
end

--- Begin anew: with a server that was installed, settings that were changed.
function M.restart()
  n_restarts = 0
  languages = {}
  local client = M.client()
  if client then
    is_restarting = true
    client:stop()
  else
    M.attach_all()
  end
end

--- Ask the server for something; the answer is an object, with `error` if it could not be.
---@param what string After the dot of `afterword.…`.
---@param arguments string[]
---@param answered fun(answer: table)
function M.ask(what, arguments, answered)
  local client = M.client()
  if not client then
    return answered({ error = status.now().reason ~= '' and status.now().reason or 'not running' })
  end
  client:request('workspace/executeCommand', {
    command = 'afterword.' .. what,
    arguments = arguments,
  }, function(problem, answer)
    answered(problem and { error = problem.message } or answer or {})
  end)
end

--- Tell the server that a suggestion was taken, by the command that came with it.
---@param command? lsp.Command
function M.taken(command)
  local client = command and M.client(0)
  if client then
    client:request('workspace/executeCommand', command, function() end, 0)
  end
end

vim.api.nvim_create_autocmd('LspAttach', {
  group = vim.api.nvim_create_augroup('afterword.server', {}),
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == NAME then
      status.mark(event.buf)
      require(config.get().native and 'afterword.native' or 'afterword.suggestion').attach(
        event.buf
      )
    end
  end,
})

return M
