-- The check of haproxy.cfg: asks sessionward authz, and keeps its answer in variables of the transaction.
-- For pages that anonymous users may see, use /authz/optional/haproxy in place of /authz/haproxy.

local ADDRESS = "http://@AUTHZ@/authz/haproxy"
local MILLISECONDS = 8000

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
    -- The method and the URI of the client, as it sent them: sessionward authz reads them from these two fields alone.
    local asked = {
        ["host"] = { "sessionward" },
        ["x-forwarded-for"] = { joined(given, "x-forwarded-for", ",") },
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-uri"] = { txn.sf:pathq() },
    }
    local cookie = joined(given, "cookie", "; ")
    if cookie ~= nil then
        asked["cookie"] = { cookie }
    end
    for _, name in ipairs({
        "authorization",
        "x-session-token",
@if preflight@
        "origin",
        "access-control-request-method",
@end@
@if login@
        "accept",
@end@
    }) do
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
@if login@
        location = "location",
@end@
    }) do
        txn:set_var("txn.sessionward_" .. variable, joined(answer.headers, name, ",") or "")
    end
    txn:set_var("txn.sessionward_status", answer.status)
end)
