-- What is there as soon as this folder is on 'runtimepath'. Everything else is loaded when it is
-- first needed, so that an editor starts as fast as without us.

if vim.g.loaded_afterword or vim.fn.has('nvim-0.11') == 0 then
  return
end
vim.g.loaded_afterword = true

vim.api.nvim_create_user_command('Afterword', function(command)
  require('afterword.commands').run(command.fargs)
end, {
  nargs = '*',
  desc = 'Afterword: what it is doing, or one of its commands',
  complete = function(lead, line)
    return require('afterword.commands').complete(lead, line)
  end,
})

for name, what in pairs({
  ['accept'] = 'take the suggestion',
  ['accept-word'] = 'take its next word',
  ['accept-line'] = 'take its next line',
  ['next'] = 'show the next one',
  ['previous'] = 'show the one before',
  ['dismiss'] = 'hide it',
  ['trigger'] = 'ask for one here',
}) do
  vim.keymap.set('i', ('<Plug>(afterword-%s)'):format(name), function()
    return require('afterword.keys').pressed(name)
  end, { expr = true, desc = 'Afterword: ' .. what })
end

-- The language server starts once there is a buffer for it and nothing else to do.
vim.api.nvim_create_autocmd({ 'BufEnter', 'FileType', 'InsertEnter', 'VimEnter' }, {
  group = vim.api.nvim_create_augroup('afterword', {}),
  desc = 'Afterword: have it look at the buffer',
  callback = function(event)
    if vim.v.vim_did_enter == 1 and vim.bo[event.buf].buftype == '' then
      vim.schedule(function()
        require('afterword.server').attach(event.buf)
      end)
    end
  end,
})
