-- The health of a child Application is its own word: without it waves do not wait between Applications.
local health = obj.status ~= nil and obj.status.health or nil
if health == nil or health.status == nil then
  return { status = "Progressing", message = "waiting for the Application's health" }
end
return { status = health.status, message = health.message }
