-- wrk's requests: the files 1, 2, 3 and so on of the folder that REVIEWS names, each read before the load begins.
local requests, last = {}, 0

init = function()
  local file = io.open(os.getenv("REVIEWS") .. "/1", "rb")
  while file do
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, file:read("*a"))
    file:close()
    file = io.open(os.getenv("REVIEWS") .. "/" .. #requests + 1, "rb")
  end
end

request = function()
  last = last % #requests + 1
  return requests[last]
end

done = function(summary, latency)
  io.write(string.format("requests %d errors %d mean_us %.0f p99_us %.0f\n", summary.requests,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
    latency.mean, latency:percentile(99)))
end
