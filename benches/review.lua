-- wrk's request: the review of the file that REVIEW names.
local file = assert(io.open(os.getenv("REVIEW"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()

done = function(summary, latency, requests)
  io.write(string.format("requests %d errors %d mean_us %.0f p99_us %.0f\n", summary.requests,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
    latency.mean, latency:percentile(99)))
end
