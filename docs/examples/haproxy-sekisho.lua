-- Asks Sekisho about a request, for haproxy.cfg beside this file:
--
--     http-request lua.sekisho 127.0.0.1:8080 https://app.pref.example
--
-- The first word is where Sekisho listens, the second the application's own
-- address, whatever Host says. Afterwards txn.sekisho_status is what Sekisho
-- answered; it is 503 until then, so whatever goes wrong here lets nothing pass.

local told = {
	"remote-user", "remote-name", "remote-email", "remote-groups", "remote-acr",
	"x-sekisho-assertion", "location",
}

-- only is a header that came once; whatever comes twice is nobody's word.
local function only(headers, name)
	local values = headers[name]
	if values and values[0] and not values[1] then return values[0] end
	return nil
end

local function all(headers, name)
	local out, values, i = {}, headers[name], 0
	while values and values[i] do
		out[#out + 1] = values[i]
		i = i + 1
	end
	return out
end

core.register_action("sekisho", { "http-req" }, function(txn, gate, application)
	txn:set_var("txn.sekisho_status", 503)
	local headers = txn.http:req_get_headers()
	local question = {
		["x-original-url"] = { application .. txn.sf:pathq() },
		["x-original-method"] = { txn.sf:method() },
		["x-forwarded-for"] = { txn.sf:src() },
		["x-forwarded-proto"] = { "https" },
	}
	for _, name in ipairs({ "cookie", "accept-language", "user-agent" }) do
		local values = all(headers, name)
		if #values > 0 then question[name] = values end
	end
	local answer = core.httpclient():get({
		url = "http://" .. gate .. "/auth/check", headers = question, timeout = 2000,
	})
	if not answer or not answer.status or not answer.headers then return end
	for _, name in ipairs(told) do
		txn:set_var("txn.sekisho_" .. name:gsub("-", "_"), only(answer.headers, name) or "")
	end
	-- A yes without a name is none.
	if answer.status == 200 and not (only(answer.headers, "remote-user") and only(answer.headers, "x-sekisho-assertion")) then
		return
	end
	txn:set_var("txn.sekisho_status", answer.status)
end, 2)
