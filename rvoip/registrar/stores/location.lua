-- What a registrar asks of Redis: a batch of lookups, changes and chores, each done as a whole or not at all.
--
-- ARGV[1]  the beginning of all keys
-- ARGV[2]  until when, by this server's clock, the asker still waits for the answer
-- ARGV[3]  the questions, in MessagePack: a list of lists, see the functions at the end
--
-- Returns, in MessagePack, this server's clock and a list of answers; that list is missing when the asker has
-- given up meanwhile. Then nothing was done: what a frozen server finds in its sockets when it wakes up must
-- not overwrite what was registered since.
--
-- Keys: PREFIX:b:AOR is a hash from the key of a binding to its record, PREFIX:aors a sorted set of the AORs
-- that have bindings, PREFIX:due one of "AOR\nkey" by the time when the binding ends. A tombstone is a record
-- with granted = 0, and is not in PREFIX:due. Times are seconds of this server's clock.

local prefix = ARGV[1]
local time = redis.call('TIME')
local clock = tonumber(time[1]) + tonumber(time[2]) / 1000000
if clock > tonumber(ARGV[2]) then
    return cmsgpack.pack({clock})
end

local KEY, CONTACT, PARAMS, CALL_ID, CSEQ, GRANTED, EXPIRES, PATH, CREATED = 1, 2, 3, 4, 5, 6, 7, 9, 12
local MAX_GRAVES = 32
local MARGIN = 600
local names, due = prefix .. ':aors', prefix .. ':due'

local function place(aor)
    return prefix .. ':b:' .. aor
end

local function load(aor)
    local records = {}
    for _, packed in ipairs(redis.call('HVALS', place(aor))) do
        local record = cmsgpack.unpack(packed)
        records[record[KEY]] = record
    end
    return records
end

-- The bindings, without tombstones and what is over, in the order in which they were made.
local function live(records, now)
    local found = {}
    for _, record in pairs(records) do
        if record[GRANTED] > 0 and record[EXPIRES] > now then
            found[#found + 1] = record
        end
    end
    table.sort(found, function(a, b)
        if a[CREATED] ~= b[CREATED] then
            return a[CREATED] < b[CREATED]
        end
        return a[KEY] < b[KEY]
    end)
    return found
end

local function repeats(old, put)
    return old[GRANTED] == put[GRANTED] and old[CONTACT] == put[CONTACT]
        and old[PARAMS] == put[PARAMS] and old[PATH] == put[PATH]
end

-- Why a change may not be made (RFC 3261 section 10.3), nil when it may; as compare_and_set.objection.
local function objection(records, change)
    local call_id, cseq, now = change.call_id, change.cseq, change.now
    if call_id == '' then
        return nil
    end
    local newer, repeated, created, removed = false, false, 0, 0
    for _, put in ipairs(change.puts) do
        local old = records[put[KEY]]
        if old and old[EXPIRES] <= now then
            old = nil
        end
        if not old or old[GRANTED] == 0 then
            created = created + 1
        end
        if not old or old[CALL_ID] ~= call_id or cseq > old[CSEQ] then
            newer = true
        elseif cseq == old[CSEQ] and repeats(old, put) then
            repeated = true
        else
            return 'stale'
        end
    end
    if change.everything then
        for _, old in pairs(records) do
            if old[EXPIRES] > now and old[CALL_ID] == call_id and cseq <= old[CSEQ] then
                if old[GRANTED] > 0 or cseq < old[CSEQ] then
                    return 'stale'
                end
                repeated = true
            end
        end
        return repeated and 'unchanged' or nil
    end
    for _, key in ipairs(change.removes) do
        local old = records[key]
        if old and old[EXPIRES] > now then
            if old[GRANTED] > 0 then
                removed = removed + 1
            end
            if old[CALL_ID] ~= call_id or cseq > old[CSEQ] then
                newer = true
            elseif cseq == old[CSEQ] and old[GRANTED] == 0 then
                repeated = true
            else
                return 'stale'
            end
        end
    end
    if repeated then
        return newer and 'stale' or 'unchanged'
    end
    if created > removed and #live(records, now) + created - removed > change.max_contacts then
        return 'full'
    end
    return nil
end

local function store(aor, record)
    redis.call('HSET', place(aor), record[KEY], cmsgpack.pack(record))
    if record[GRANTED] > 0 then
        redis.call('ZADD', due, string.format('%.6f', record[EXPIRES]), aor .. '\n' .. record[KEY])
    else
        redis.call('ZREM', due, aor .. '\n' .. record[KEY])
    end
end

local function drop(aor, record)
    redis.call('HDEL', place(aor), record[KEY])
    if record[GRANTED] > 0 then
        redis.call('ZREM', due, aor .. '\n' .. record[KEY])
    end
end

-- Take out the records that are over and the oldest tombstones beyond MAX_GRAVES; note whether the AOR is
-- bound, and until when there is anything to be kept of it.
local function tidy(aor, records, now)
    local graves, bound, last = {}, false, 0
    for key, record in pairs(records) do
        if record[EXPIRES] <= now then
            drop(aor, record)
            records[key] = nil
        else
            if record[GRANTED] > 0 then
                bound = true
            else
                graves[#graves + 1] = record
            end
            last = math.max(last, record[EXPIRES])
        end
    end
    if #graves > MAX_GRAVES then
        table.sort(graves, function(a, b)
            if a[EXPIRES] ~= b[EXPIRES] then
                return a[EXPIRES] > b[EXPIRES]
            end
            return a[CREATED] > b[CREATED]
        end)
        for index = MAX_GRAVES + 1, #graves do
            drop(aor, graves[index])
            records[graves[index][KEY]] = nil
        end
    end
    if bound then
        redis.call('ZADD', names, 0, aor)
    else
        redis.call('ZREM', names, aor)
    end
    if last > 0 then
        redis.call('PEXPIRE', place(aor), string.format('%.0f', (last - now + MARGIN) * 1000))
    end
end

local ask = {}

-- {aor} -> the live bindings
function ask.lookup(aor, now)
    return live(load(aor), now)
end

-- -> outcome, live bindings, removed bindings
function ask.change(aor, now, call_id, cseq, max_contacts, max_aors, grave_until, everything, removes, puts)
    local change = {
        now = now, call_id = call_id, cseq = cseq, max_contacts = max_contacts,
        everything = everything, removes = removes, puts = puts,
    }
    local records = load(aor)
    local refused = objection(records, change)
    if refused then
        return {refused, live(records, now), {}}
    end
    local before = live(records, now)
    if max_aors > 0 and #puts > 0 and #before == 0 and redis.call('ZCARD', names) >= max_aors then
        return {'busy'}
    end
    local gone, removed = {}, {}
    for _, key in ipairs(removes) do
        gone[key] = true
    end
    for _, old in ipairs(before) do
        if everything or gone[old[KEY]] then
            removed[#removed + 1] = old
        end
    end
    for key, old in pairs(records) do
        if old[EXPIRES] > now and (everything or gone[key]) then
            local by, number = call_id, cseq
            local buried = old[GRANTED] > 0 or old[CALL_ID] == call_id
            if call_id == '' then
                by, number, buried = old[CALL_ID], old[CSEQ], old[GRANTED] > 0
            end
            if buried then
                local since = old[GRANTED] > 0 and now or old[CREATED]
                records[key] = {key, '', '', by, number, 0, grave_until, 0, '', '', '', since}
                store(aor, records[key])
            end
        end
    end
    local outcome = #puts > 0 and 'refreshed' or 'removed'
    for _, put in ipairs(puts) do
        local old = records[put[KEY]]
        if old and old[GRANTED] > 0 and old[EXPIRES] > now then
            put[CREATED] = old[CREATED]
        else
            outcome = 'created'
            put[CREATED] = now
        end
        records[put[KEY]] = put
        store(aor, put)
    end
    tidy(aor, records, now)
    return {outcome, live(records, now), removed}
end

-- -> {aor, expired bindings, live bindings} of each AOR that has lost some
function ask.expire(now, most)
    local found, order = {}, {}
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)) do
        local at = string.find(member, '\n', 1, true)
        local aor = string.sub(member, 1, at - 1)
        if not found[aor] then
            found[aor] = true
            order[#order + 1] = aor
        end
        redis.call('ZREM', due, member)
    end
    local answer = {}
    for _, aor in ipairs(order) do
        local records = load(aor)
        local over = {}
        for _, record in pairs(records) do
            if record[GRANTED] > 0 and record[EXPIRES] <= now then
                over[#over + 1] = record
            end
        end
        tidy(aor, records, now)
        if #over > 0 then
            answer[#answer + 1] = {aor, over, live(records, now)}
        end
    end
    return answer
end

-- Up to `limit` AORs with live bindings, between two bounds as ZRANGEBYLEX writes them.
function ask.aors(from, to, limit, now)
    local found = {}
    local offset, chunk = 0, limit + 16
    while #found < limit do
        local some = redis.call('ZRANGEBYLEX', names, from, to, 'LIMIT', offset, chunk)
        for _, aor in ipairs(some) do
            if #found < limit and #live(load(aor), now) > 0 then
                found[#found + 1] = aor
            end
        end
        if #some < chunk then
            break
        end
        offset = offset + chunk
    end
    return found
end

-- -> AORs, bindings
function ask.count()
    return {redis.call('ZCARD', names), redis.call('ZCARD', due)}
end

local answers = {}
for index, question in ipairs(cmsgpack.unpack(ARGV[3])) do
    local done, answer = pcall(ask[question[1]], unpack(question, 2))
    if not done then
        answer = {'error', type(answer) == 'table' and answer.err or tostring(answer)}
    end
    answers[index] = answer
end
return cmsgpack.pack({clock, answers})
