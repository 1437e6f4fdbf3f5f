--- `:Afterword`: its sub-commands. Each says what it did and, where it changed something, how to
--- undo it. Knows what to ask whom; knows nothing of suggestions.

local server = require('afterword.server')
local status = require('afterword.status')

local M = {}

--- Show lines in a window of their own, which `q` closes.
---@param name string
---@param lines string[]
---@param is_entered boolean
local function page(name, lines, is_entered)
  local buf = vim.api.nvim_create_buf(false, true)
  vim.bo[buf].bufhidden = 'wipe'
  pcall(vim.api.nvim_buf_set_name, buf, 'afterword://' .. name)
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, lines)
  vim.bo[buf].modifiable = false
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buf, nowait = true })
  local n_rows = 0 -- on the screen, where long lines are wrapped
  for _, line in ipairs(lines) do
    n_rows = n_rows + math.max(1, math.ceil(vim.fn.strdisplaywidth(line) / vim.o.columns))
  end
  local window = vim.api.nvim_open_win(buf, is_entered, {
    split = 'below',
    win = -1, -- below all of them
    height = math.min(n_rows, math.floor(vim.o.lines / 2)),
  })
  vim.wo[window][0].wrap = true
end

--- Say a sentence. One that is too long for the line below would wait for a key that was meant for
--- the text, so it has a window, and the cursor stays where somebody may be typing.
---@param text string
---@param level? integer
local function say(text, level)
  text = 'Afterword: ' .. text
  if vim.fn.strdisplaywidth(text) <= vim.v.echospace then
    vim.notify(text, level or vim.log.levels.INFO)
  else
    page('answer', vim.split(text, '\n', { plain = true }), false)
  end
end

---@param what string After the dot of `afterword.…`.
---@param arguments string[]
---@param answered fun(answer: table): string?
local function ask(what, arguments, answered)
  server.ask(what, arguments, function(answer)
    vim.schedule(function()
      if answer.error then
        return say(answer.error, vim.log.levels.WARN)
      end
      local text = answered(answer)
      if text then
        say(text)
      end
    end)
  end)
end

--- Run a program of Afterword's, and show what it prints.
---@param program string
---@param arguments string[]
---@param heading? string
---@param is_log? boolean What is at its end is what matters.
local function show(program, arguments, heading, is_log)
  local command = vim.list_extend({ server.program(program) }, arguments)
  local is_there, problem = pcall(
    vim.system,
    command,
    { text = true, env = { NO_COLOR = '1' } },
    vim.schedule_wrap(function(result)
      local text = vim.trim((result.stdout or '') .. (result.stderr or ''))
      local lines = vim.split(text, '\n', { plain = true })
      if heading then
        table.insert(lines, 1, heading)
      end
      page(program .. '-' .. arguments[1], lines, true)
      if is_log then
        vim.cmd.normal({ 'G', bang = true })
      end
    end)
  )
  if not is_there then
    say(('%s: %s'):format(command[1], problem), vim.log.levels.WARN)
  end
end

---@return string
local function here()
  return vim.uri_from_bufnr(0)
end

---@class (exact) afterword.Command
---@field [1] string What it does, for the manual and for health.
---@field [2] fun(argument?: string)
---@field complete? string What completes its argument, as `getcompletion()` calls it.

---@type table<string, afterword.Command>
M.all = {
  status = {
    'what it is doing, and in which state the daemon is',
    function()
      local now = status.now()
      local reason = now.reason ~= '' and ': ' .. now.reason or ''
      local state = vim.b.afterword and now.state or 'not in this buffer'
      show('afterword', { 'status' }, ('here: %s%s'):format(state, reason))
    end,
  },
  toggle = {
    'suggestions off, or on again; with a file type, or `here`: there alone',
    function(where)
      ask('toggle', { where == 'here' and here() or where }, function(answer)
        server.look_at(vim.api.nvim_get_current_buf(), true)
        return ('suggestions are %s%s; to change it back: :Afterword toggle %s'):format(
          answer.enabled and 'on' or 'off',
          where and where ~= 'here' and ' for ' .. where or where and ' here' or '',
          where or ''
        )
      end)
    end,
    complete = 'filetype',
  },
  pause = {
    'learn nothing more; suggestions go on',
    function()
      ask('pause', {}, function()
        return 'nothing more is learned, until :Afterword resume'
      end)
    end,
  },
  resume = {
    'learn again',
    function()
      ask('resume', {}, function()
        return 'it learns again'
      end)
    end,
  },
  learn = {
    "learn a folder from now on; without one, this file's project or folder",
    function(folder)
      local root = vim.fs.root(0, vim.lsp.config.afterword.root_markers or {})
      folder = folder and vim.fn.expand(folder) or root or vim.fn.expand('%:p:h')
      folder = vim.fn.fnamemodify(folder, ':p'):gsub('(.)/$', '%1')
      ask('learnWorkspace', { vim.uri_from_fname(folder) }, function()
        local name = vim.fn.fnamemodify(folder, ':~')
        return ('%s is learned from now on; to undo: afterword watch remove %s'):format(name, name)
      end)
    end,
    complete = 'dir',
  },
  forget = {
    'forget for good all that was learned of this file',
    function()
      if vim.bo.buftype ~= '' then
        return say('this is no text of yours')
      end
      local path = vim.api.nvim_buf_get_name(0)
      local file = path == '' and 'this text' or vim.fn.fnamemodify(path, ':~:.')
      if vim.fn.confirm(('Forget %s for good?'):format(file), '&Forget\n&No', 2) ~= 1 then
        return
      end
      status.on_forgotten = function(sentence) -- minutes later, if a model has to be made anew
        say(('%s: %s'):format(file, sentence))
      end
      ask('forgetFile', { here() }, function(answer)
        return answer.explanation or 'it is being forgotten; the end of it is told'
      end)
    end,
  },
  why = {
    'why nothing is suggested here',
    function()
      ask('whyNoSuggestion', { here() }, function(answer)
        return answer.explanation or answer.reason or 'no reason is known'
      end)
    end,
  },
  stats = {
    'keys saved, suggestions taken',
    function()
      show('afterword', { 'stats' })
    end,
  },
  config = {
    'open the settings, which all editors share',
    function()
      ask('settings', {}, function(answer)
        vim.cmd.edit(vim.fn.fnameescape(answer.file))
      end)
    end,
  },
  log = {
    "the last lines of the daemon's log",
    function()
      local others = "the language server's: " .. vim.lsp.log.get_filename()
      show('afterword', { 'logs' }, others, true)
    end,
  },
  report = {
    'how the last training went, in the browser',
    function()
      show('trainer', { 'report', '--open' })
    end,
  },
  doctor = {
    'what is wrong, and the remedy',
    function()
      vim.cmd.checkhealth('afterword')
    end,
  },
  restart = {
    'start the language server anew',
    function()
      server.restart()
    end,
  },
}

--- Run `:Afterword` with these words.
---@param words string[]
function M.run(words)
  local name = words[1] or 'status'
  local command = M.all[name]
  if not command then
    local near = vim.fn.matchfuzzy(vim.tbl_keys(M.all), name)[1]
    local hint = near and ('did you mean %s?'):format(near) or ':help :Afterword lists all'
    return say(('there is no %s; %s'):format(name, hint), vim.log.levels.WARN)
  end
  local argument = table.concat(words, ' ', 2)
  command[2](argument ~= '' and argument or nil)
end

--- What could come at the cursor of a command line.
---@param lead string The word so far.
---@param line string
---@return string[]
function M.complete(lead, line)
  local name = line:match('Afterword!?%s+(%S+)%s')
  if name then
    local command = M.all[name]
    return command and command.complete and vim.fn.getcompletion(lead, command.complete) or {}
  end
  local names = vim.tbl_filter(function(one)
    return vim.startswith(one, lead)
  end, vim.tbl_keys(M.all))
  table.sort(names)
  return names
end

return M
