-- Asks for another run of the same spec: the operator acts once on each new value of the annotation.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["sync.pachyderm.io/run-requested"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
