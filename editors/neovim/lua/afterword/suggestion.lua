--- What is suggested at the cursor, from a key to the answer on the screen.
---
--- At each key one of two things happens. It agrees with what is shown, which shrinks: nothing is
--- asked, nothing flickers. It does not: what is shown goes at once. Then, or if nothing was shown,
--- the server is asked; unless it still is: then its answer is waited for, and what agrees with
--- all that was typed meanwhile is shown. Who types faster than it answers would see none otherwise.
---
---   typed   b      r     i    x          s    e
---   shown   ridge  idge  dge  -   ample  -        veral
---   asked   .....             ....       .........
---
--- Knows the order of events; knows nothing of extmarks.

local config = require('afterword.config')
local ghost = require('afterword.ghost')
local insertion = require('afterword.insertion')
local server = require('afterword.server')

local M = {}

local INVOKED, AUTOMATIC = 1, 2 -- lsp.InlineCompletionTriggerKind
-- After a jump the daemon has to read first, and a key is not kept waiting for that: its answer is
-- empty. Whoever then types no further has the suggestion this much later; on a busy machine, or
-- with a server that has just started, one of the next times.
local AGAIN_MS = { 150, 600, 2400 }
-- The server answers within 250 ms, with nothing if need be, and on a busy machine somewhat later.
-- What takes longer has been lost.
local LOST_MS = 1000

---@class (exact) afterword.Item
---@field text string Line ends are \n, as in a buffer.
---@field n_replaced integer Bytes right of the cursor that it stands for.
---@field command? lsp.Command Tells the server that it was taken.

--- Where a suggestion begins, and the text around that place: by it is known what was typed since.
---@class (exact) afterword.Place
---@field buf integer
---@field row integer From 0.
---@field col integer Bytes, from 0.
---@field before string In its line.
---@field after string In its line.

---@class (exact) afterword.Shown
---@field place afterword.Place
---@field items afterword.Item[]
---@field index integer Of the one that is drawn.
---@field n_typed integer Bytes of it that are in the text by now.

---@type afterword.Shown?
local shown
--- A request: `id` while it is under way, none while the next is waited with.
---@class (exact) afterword.Asking
---@field client vim.lsp.Client
---@field id integer?
---@field place afterword.Place
---@field kind integer
---@field at_ms integer

---@type afterword.Asking?
local asking
---@type { buf: integer, tick: integer, row: integer, col: integer }?
local seen
---@type table<integer, true> Buffers of which a variable is watched.
local watched = {}

local function cancel()
  local request = asking
  asking = nil
  if request and request.id and not request.client:is_stopped() then
    request.client:cancel_request(request.id)
  end
end

local function hide()
  if shown then
    ghost.clear(shown.place.buf)
    shown = nil
  end
end

---@return integer row From 0.
---@return integer col
local function cursor()
  local at = vim.api.nvim_win_get_cursor(0)
  return at[1] - 1, at[2]
end

---@return boolean
local function is_typing()
  return vim.startswith(vim.api.nvim_get_mode().mode, 'i')
    and not vim.b.afterword_hidden
    and vim.fn.reg_executing() == ''
    and not (vim.fn.pumvisible() == 1 and config.get().hide_with_menu)
end

--- What was typed at a place since; nil where the text went another way.
---@param place afterword.Place
---@return string?
local function typed_since(place)
  local row, col = cursor()
  if place.buf ~= vim.api.nvim_get_current_buf() or row < place.row then
    return nil
  end
  local first = vim.api.nvim_buf_get_lines(place.buf, place.row, place.row + 1, false)[1]
  local last = vim.api.nvim_get_current_line()
  if not vim.startswith(first, place.before) or (row == place.row and col < place.col) then
    return nil
  end
  if last:sub(col + 1) ~= place.after then
    return nil
  end
  local lines = vim.api.nvim_buf_get_text(place.buf, place.row, place.col, row, col, {})
  return table.concat(lines, '\n')
end

--- How much of a suggestion is in the text; nil where the text went another way.
---@param it afterword.Shown
---@param item afterword.Item
---@return integer? n_typed
local function n_typed(it, item)
  local typed = typed_since(it.place)
  return typed and vim.startswith(item.text, typed) and #typed or nil
end

--- Whether an answer is under way that may agree with what was typed since it was asked for. The
--- server gives it up when it hears of another key: from Neovim 150 ms after the one before, if no
--- request is sooner, which is longer than most answers take. What was given up is asked anew.
---@return boolean
local function is_awaited()
  return asking ~= nil
    and asking.id ~= nil
    and asking.kind == AUTOMATIC
    and asking.client == server.client(asking.place.buf)
    and vim.uv.now() - asking.at_ms < LOST_MS
    and typed_since(asking.place) ~= nil
end

---@param it afterword.Shown
local function draw(it)
  local item = it.items[it.index]
  local row, col = cursor()
  ghost.show(it.place.buf, row, col, item.text:sub(it.n_typed + 1), item.n_replaced)
end

--- Show the first of these that agrees with what was typed, beginning with one.
---@param it afterword.Shown
---@return boolean is_shown
local function show(it)
  for n = 0, #it.items - 1 do
    local index = (it.index - 1 + n) % #it.items + 1
    local typed = n_typed(it, it.items[index])
    if typed and typed < #it.items[index].text then
      it.index, it.n_typed, shown = index, typed, it
      draw(it)
      return true
    end
  end
  return false
end

--- Items of an answer as they fit behind the cursor.
---@param answer table
---@param line string
---@param row integer
---@param col integer
---@param encoding string
---@return afterword.Item[]
local function items_of(answer, line, row, col, encoding)
  local items = {}
  for _, given in ipairs(answer.items or answer) do
    local text, first, last = (given.insertText:gsub('\r\n', '\n')), col, col
    local range = given.range
    if range then
      first = vim.str_byteindex(line, encoding, range.start.character, false)
      last = vim.str_byteindex(line, encoding, range['end'].character, false)
    end
    local typed = line:sub(first + 1, col)
    local is_here = not range or (range.start.line == row and range['end'].line == row)
    if is_here and last >= col and vim.startswith(text, typed) and #text > #typed then
      items[#items + 1] =
        { text = text:sub(#typed + 1), n_replaced = last - col, command = given.command }
    end
  end
  return items
end

--- Ask for suggestions at the cursor.
---@param kind integer
---@param chosen? fun(items: afterword.Item[]): integer Which of them to show.
---@param n_before? integer How often the same was asked here before.
local function ask(kind, chosen, n_before)
  cancel()
  local buf = vim.api.nvim_get_current_buf()
  local client = server.client(buf)
  if not client or not client.initialized then
    return
  end
  local row, col = cursor()
  local line = vim.api.nvim_get_current_line()
  local encoding = client.offset_encoding
  ---@type afterword.Asking
  local request = {
    client = client,
    place = {
      buf = buf,
      row = row,
      col = col,
      before = line:sub(1, col),
      after = line:sub(col + 1),
    },
    kind = kind,
    at_ms = vim.uv.now(),
  }
  asking = request
  local _, id = client:request('textDocument/inlineCompletion', {
    textDocument = { uri = vim.uri_from_bufnr(buf) },
    position = { line = row, character = vim.str_utfindex(line, encoding, col, false) },
    context = { triggerKind = kind },
  }, function(problem, answer)
    request.id = nil -- answered, so it cannot be called off any more
    if asking ~= request then
      return
    end
    asking = nil
    local typed = typed_since(request.place)
    if not typed or not is_typing() then
      return -- `moved` has seen it, or comes next
    end
    local items = problem == nil and answer and items_of(answer, line, row, col, encoding) or {}
    local index = #items > 0 and chosen and chosen(items) or 1
    if show({ place = request.place, items = items, index = index, n_typed = 0 }) then
      return
    elseif typed ~= '' then -- nothing agrees with it, and here nothing was asked yet
      return ask(AUTOMATIC)
    elseif answer then -- no answer at all says nothing of what is shown
      hide()
    end
    local n_asked = (n_before or 0) + 1
    if kind == AUTOMATIC and AGAIN_MS[n_asked] then
      asking = request
      vim.defer_fn(function()
        if asking == request then -- nothing was typed since
          ask(kind, nil, n_asked)
        end
      end, AGAIN_MS[n_asked])
    end
  end, buf)
  request.id = id
end

--- Something was typed, or the cursor moved. Comes before the screen is drawn again.
local function moved()
  local buf = vim.api.nvim_get_current_buf()
  local row, col = cursor()
  local tick = vim.api.nvim_buf_get_changedtick(buf)
  local was = seen
  local is_other = not was or was.buf ~= buf or was.tick ~= tick
  if was and not is_other and was.row == row and was.col == col then
    return
  end
  seen = { buf = buf, tick = tick, row = row, col = col }
  if not is_typing() then
    cancel()
    return hide()
  end
  local n = shown and n_typed(shown, shown.items[shown.index])
  if shown and n and n < #shown.items[shown.index].text then
    shown.n_typed = n
    return draw(shown)
  end
  hide()
  if not is_other then
    cancel()
  elseif not is_awaited() then
    ask(AUTOMATIC)
  end
end

--- Nothing is suggested any more, here and now.
function M.stop()
  M.dismiss()
  seen = nil
end

--- The same place is looked at anew: a mode has begun, or a menu is gone.
function M.look_again()
  vim.schedule(function()
    seen = nil
    cancel() -- what it was asked under may hold no longer
    moved()
  end)
end

-- A daemon that was away is back: what could not be answered is asked again.
vim.api.nvim_create_autocmd('User', {
  pattern = 'AfterwordStatus',
  group = vim.api.nvim_create_augroup('afterword.suggestion', {}),
  callback = function(event)
    if event.data.state == 'ready' and not shown and is_typing() then
      M.look_again()
    end
  end,
})

--- Follow what is typed into a buffer.
---@param buf integer
function M.attach(buf)
  local group = vim.api.nvim_create_augroup('afterword.suggestion.' .. buf, {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buf, callback = callback })
  end
  on({ 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, moved)
  on({ 'InsertEnter', 'CompleteDone' }, M.look_again)
  on({ 'InsertLeave', 'BufLeave' }, M.stop)
  on('CompleteChanged', function()
    if config.get().hide_with_menu then
      M.dismiss()
    end
  end)
  -- Other menus say by a variable that they are open; it counts at once. nvim-cmp says so at every
  -- key, which is no reason to ask anew.
  if not watched[buf] then
    watched[buf] = true
    vim.api.nvim_buf_call(buf, function()
      vim.cmd([[call dictwatcheradd(b:, 'afterword_hidden', {_, name, was ->
        \ get(was, 'old') is get(was, 'new')
        \ ? 0 : v:lua.require'afterword.suggestion'.look_again()})]])
    end)
  end
  if buf == vim.api.nvim_get_current_buf() then
    M.look_again()
  end
end

---@return boolean
function M.is_shown()
  local it = shown
  return it ~= nil and n_typed(it, it.items[it.index]) == it.n_typed
end

--- Put the suggestion, or a part of it, into the text.
---@param part string `accept`, `accept-word` or `accept-line`
---@return boolean accepted
function M.accept(part)
  local it = shown
  if not it or not M.is_shown() then
    hide() -- the text is another by now
    return false
  end
  local item = it.items[it.index]
  local rest = item.text:sub(it.n_typed + 1)
  local text = insertion.piece(rest, part)
  insertion.put(text, it.place.after:sub(1, item.n_replaced))
  if text == rest then
    hide()
    server.taken(item.command)
  end
  return true -- `moved` comes next, and looks at what is there now
end

--- Show another suggestion; ask for more than one if there is but one yet.
---@param step integer
function M.cycle(step)
  local it = shown
  if not it then
    return
  end
  local other = vim.tbl_extend('force', it, { index = (it.index - 1 + step) % #it.items + 1 })
  if #it.items > 1 and show(other) then
    return
  end
  local here = vim.deepcopy(it.items[it.index])
  here.text = here.text:sub(it.n_typed + 1)
  ask(INVOKED, function(items)
    local index = 1
    while items[index] and items[index].text ~= here.text do
      index = index + 1
    end
    if not items[index] then -- what was shown stays among them, so that one finds back
      index = 1
      table.insert(items, 1, here)
    end
    return (index - 1 + step) % #items + 1
  end)
end

--- Ask because the user wants to know.
function M.trigger()
  ask(INVOKED)
end

--- Hide what is shown; the next key asks again.
function M.dismiss()
  cancel()
  hide()
end

return M
