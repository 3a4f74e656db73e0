-- 64 KiB from anywhere in an object of 4 GiB, at a multiple of nothing.
local count = 65536
local last = 4 * 1024 * 1024 * 1024 - count
dofile(os.getenv("SUMMARY_LUA"))
function init(_) math.randomseed(os.time()) end
function request()
  local from = math.floor(math.random() * last)
  return wrk.format("GET", nil, {["range"] = string.format("bytes=%.0f-%.0f", from, from + count - 1)})
end
