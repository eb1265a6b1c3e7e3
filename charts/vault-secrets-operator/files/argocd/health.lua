-- The health of every kind, from its status. Argo CD opens no string library for scripts, and judges an object
-- that is being deleted before it runs one.
local function is(status, message)
  return { status = status, message = message }
end

local status = obj.status or {}
local generation = obj.metadata.generation

if obj.spec ~= nil and obj.spec.suspend == true then
  return is("Suspended", "suspend is set: nothing is read, written or restarted")
end
if status.observedGeneration ~= generation then
  return is("Progressing", "waiting for the operator to see this generation")
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

if found.Stalled ~= nil and found.Stalled.status == "True" then
  return is("Degraded", found.Stalled.message)
end
if found.Ready ~= nil and found.Ready.status == "True" then
  -- Vault may be away while the Secret is still good: the sync goes on, and the message says so.
  local lacking = found.Healthy ~= nil and found.Healthy.status == "False"
  return is("Healthy", lacking and found.Healthy.message or found.Ready.message)
end
if found.Reconciling ~= nil and found.Reconciling.status == "True" then
  -- This generation was in order before: its Secret has become too old. A new one is only on its way.
  local late = status.lastSyncTime ~= nil and status.lastGeneration == generation
  return is(late and "Degraded" or "Progressing", found.Reconciling.message)
end
return is("Progressing", found.Ready ~= nil and found.Ready.message or "waiting for the first sync")
