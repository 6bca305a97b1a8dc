-- Begins no more run; one under way ends as usual.
obj.spec.suspend = true
return obj
