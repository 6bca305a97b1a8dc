-- Which actions Argo CD offers: a sync that is suspended can be resumed, any other can be run again or suspended.
local suspended = obj.spec.suspend == true
return {
  ["re-run"] = { ["disabled"] = suspended },
  ["suspend"] = { ["disabled"] = suspended },
  ["resume"] = { ["disabled"] = not suspended },
}
