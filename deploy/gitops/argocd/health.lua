-- Argo CD's health of a PachydermS3Sync, by the order of kstatus: a status that speaks of an earlier spec is no news;
-- then Reconciling and Stalled, which are there only while they are true. A sync that is run once more keeps Ready (its
-- condition Syncing says that it runs), so it stays Healthy meanwhile. Argo CD has no string library here.
local function progressing(message)
  return { status = "Progressing", message = message }
end

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return progressing("waits for the operator to see this spec")
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    found[condition.type] = condition
  end
end

if found.Reconciling ~= nil then
  return progressing(found.Reconciling.message)
end
if found.Stalled ~= nil then
  return { status = "Degraded", message = found.Stalled.message }
end
if found.Ready == nil then
  return progressing("waits for the operator to begin")
end
-- Nobody need wait for what is suspended.
if obj.spec.suspend == true then
  return { status = "Suspended", message = "suspended; " .. found.Ready.message }
end
if found.Ready.status == "True" then
  return { status = "Healthy", message = found.Ready.message }
end
return progressing(found.Ready.message)
