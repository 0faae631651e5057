-- The check of haproxy.cfg: asks sessionward authz, and keeps what it says in variables of the transaction.
-- For pages that visitors may see, use /authz/optional in place of /authz.

local ADDRESS = "http://@AUTHZ@/authz"
local MILLISECONDS = 5000

local function joined(headers, name, between)
    local values = headers[name]
    if values == nil then
        return nil
    end
    local all = {}
    local number = 0
    while values[number] ~= nil do
        all[#all + 1] = values[number]
        number = number + 1
    end
    return table.concat(all, between)
end

core.register_action("sessionward", { "http-req" }, function(txn)
    local given = txn.http:req_get_headers()
    local asked = {
        ["host"] = { "sessionward" },
        ["x-forwarded-for"] = { txn.sf:src() },
    }
    local cookie = joined(given, "cookie", "; ")
    if cookie ~= nil then
        asked["cookie"] = { cookie }
    end
    for _, name in ipairs({ "authorization", "x-session-token" }) do
        local value = joined(given, name, ",")
        if value ~= nil then
            asked[name] = { value }
        end
    end
    txn:set_var("txn.sessionward_status", 503)
    local answer = core.httpclient():get({ url = ADDRESS, headers = asked, timeout = MILLISECONDS })
    if answer == nil or (answer.status ~= 204 and answer.status ~= 401) then
        return
    end
    for variable, name in pairs({
        user = "x-session-user",
        id = "x-session-id",
        assertion = "x-session-assertion",
        cookie = "cookie",
        authorization = "authorization",
        token = "x-session-token",
    }) do
        txn:set_var("txn.sessionward_" .. variable, joined(answer.headers, name, ",") or "")
    end
    txn:set_var("txn.sessionward_status", answer.status)
end)
