--- What may be called from a configuration. None of it has to be.

local M = {}

--- Set options. `vim.g.afterword` holds the same; without either there are defaults.
---@param options? afterword.Options
function M.setup(options)
  require('afterword.config').set(options)
end

--- Whether a suggestion is on the screen, so that a key may take it.
---@return boolean
function M.is_shown()
  return require('afterword.keys').is_shown()
end

--- Take the suggestion.
---@return boolean accepted False if there was none, or the text is another by now.
function M.accept()
  return require('afterword.keys').act('accept')
end

--- Take its next word; the rest stays.
---@return boolean accepted
function M.accept_word()
  return require('afterword.keys').act('accept-word')
end

--- Take its next line; the rest stays.
---@return boolean accepted
function M.accept_line()
  return require('afterword.keys').act('accept-line')
end

--- Show the next of several suggestions.
function M.next()
  require('afterword.keys').act('next')
end

--- Show the one before.
function M.previous()
  require('afterword.keys').act('previous')
end

--- Hide the suggestion, until something is typed.
function M.dismiss()
  require('afterword.keys').act('dismiss')
end

--- Ask for a suggestion here, also a less certain one.
function M.trigger()
  require('afterword.keys').act('trigger')
end

--- For a status line: what Afterword is about, in a few characters.
---@return string
function M.statusline()
  return require('afterword.status').line()
end

--- The same in full, as in `b:afterword`.
---@return afterword.Status
function M.status()
  return require('afterword.status').now()
end

return M
