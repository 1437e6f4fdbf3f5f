-- `lualine_x = { 'afterword' }`: the same as `require('afterword').statusline()`.

local Component = require('lualine.component'):extend()

function Component:update_status()
  return require('afterword').statusline()
end

return Component
