--- `:checkhealth afterword`: what this editor knows of itself, then what `afterword doctor` finds.

local config = require('afterword.config')
local keys = require('afterword.keys')
local server = require('afterword.server')
local status = require('afterword.status')

local M = {}

local WAIT_MS = 30000 -- the doctor has a model answer, which takes seconds on a busy machine

local function settings()
  local now, mistakes = config.get()
  for _, mistake in ipairs(mistakes) do
    vim.health.warn('settings: ' .. mistake, 'the defaults hold: see :help afterword-settings')
  end
  local drawing = now.native and 'by Neovim, 200 ms after a key' or 'at once'
  vim.health.ok(('Neovim %s; suggestions are drawn %s'):format(vim.version(), drawing))
  local key = keys.key_of('accept')
  if key ~= '' then
    vim.health.ok(('%s takes a suggestion'):format(key))
  else
    vim.health.info('no key is given to <Plug>(afterword-accept): see :help afterword-keys')
  end
end

---@return boolean is_there
local function program()
  local command, origin = server.command()
  if command then
    vim.health.ok(('%s, from %s'):format(table.concat(command, ' '), origin))
    return true
  end
  local looked = vim.tbl_map(function(place)
    return place[1]
  end, server.places())
  vim.health.error('afterword-lsp was not found in: ' .. table.concat(looked, ', '), {
    'in the folder of Afterword: pipx install .   (or: pip install .)',
    "or say where it is: vim.g.afterword = { cmd = { '/path/to/afterword-lsp' } }",
    'then :Afterword restart',
  })
  return false
end

local function client()
  local one = server.client()
  if not one then
    vim.health.warn('the language server does not run', ':edit a file, or :Afterword restart')
    return
  end
  local n, encodings = vim.tbl_count(one.attached_buffers), {}
  local buffers = n == 1 and 'buffer' or 'buffers'
  vim.health.ok(('the language server runs and looks at %d %s'):format(n, buffers))
  for buf in pairs(one.attached_buffers) do
    for _, other in ipairs(vim.lsp.get_clients({ bufnr = buf })) do
      if other.offset_encoding ~= one.offset_encoding then
        encodings[other.name] = other.offset_encoding
      end
    end
  end
  for name, encoding in pairs(encodings) do
    vim.health.info(
      ('%s counts in %s, we in %s: Neovim warns of that now and then'):format(
        name,
        encoding,
        one.offset_encoding
      )
    )
  end
  local now = status.now()
  local reason = now.reason ~= '' and ': ' .. now.reason or ''
  local level = now.state == 'unavailable' and vim.health.error or vim.health.info
  level(('state: %s%s'):format(now.state, reason))
end

--- Its findings as ours, one for each check.
local function doctor()
  local command = { server.program('afterword'), 'doctor', '--json' }
  local is_there, job = pcall(vim.system, command, { text = true })
  if not is_there then
    vim.health.error('cannot run ' .. command[1], 'see above')
    return
  end
  vim.api.nvim_echo({ { 'Afterword: waiting for `afterword doctor`' } }, false, {})
  vim.cmd.redraw()
  local result = job:wait(WAIT_MS)
  vim.api.nvim_echo({ { '' } }, false, {})
  local n_found = 0
  for line in vim.gsplit(result.stdout or '', '\n', { trimempty = true }) do
    local is_json, finding = pcall(vim.json.decode, line)
    if is_json and type(finding) == 'table' and finding.check then
      n_found = n_found + 1
      local text = ('%s: %s'):format(finding.check, finding.found)
      local remedy = finding.remedy ~= '' and { finding.remedy } or nil
      if finding.state == 'ok' then
        vim.health.ok(text)
      elseif finding.state == 'warning' then
        vim.health.warn(text, remedy)
      elseif finding.state == 'failed' then
        vim.health.error(text, remedy)
      else
        vim.health.info(text)
      end
    end
  end
  if n_found == 0 then
    local problem = vim.trim(result.stderr or '')
    vim.health.error('`afterword doctor` found nothing: ' .. problem, 'run it in a terminal')
  end
end

--- What Neovim calls.
function M.check()
  vim.health.start('Neovim')
  settings()
  if program() then
    client()
    vim.health.start('Afterword (afterword doctor)')
    doctor()
  end
end

return M
