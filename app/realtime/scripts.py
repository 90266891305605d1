"""Lua that Redis runs in one go, so that nothing comes in between."""

# KEYS: seats (sorted set: seat -> expiry), connections (hash: person -> count), names (hash: person -> name).
# A seat is written "<person's id> <connection's id>".
# ARGV[1]: life of a seat in milliseconds. ARGV[2]: '1' to clear expired seats away.
# Every script returns first who is gone by it: {id, name, how many people are left, …}.
_SEATS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local gone = {}

local function person_of(seat) return string.sub(seat, 1, 36) end
local function count() return redis.call('HLEN', KEYS[2]) end

local function vacate(seat)
    local person = person_of(seat)
    if redis.call('ZREM', KEYS[1], seat) == 0 or redis.call('HINCRBY', KEYS[2], person, -1) > 0 then return end
    local name = redis.call('HGET', KEYS[3], person)
    redis.call('HDEL', KEYS[2], person)
    redis.call('HDEL', KEYS[3], person)
    table.insert(gone, {person, name, count()})
end

local function occupy(seat, name)
    local is_new_seat = redis.call('ZADD', KEYS[1], now + ARGV[1], seat) == 1
    redis.call('HSET', KEYS[3], person_of(seat), name)
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1] * 10) end
    return is_new_seat and redis.call('HINCRBY', KEYS[2], person_of(seat), 1) == 1
end

local function clear_expired()
    if ARGV[2] ~= '1' then return end
    for _, seat in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do vacate(seat) end
end
"""

# ARGV[3]: seat, [4]: name, [5]: how many people fit. Returns {gone, 'full' | 'new' | 'again', people now}.
TAKE_SEAT = f"""{_SEATS}
clear_expired()
local is_here = redis.call('HEXISTS', KEYS[2], person_of(ARGV[3])) == 1
if not is_here and count() >= tonumber(ARGV[5]) then return {{gone, 'full', count()}} end
local is_new = occupy(ARGV[3], ARGV[4])
return {{gone, is_new and 'new' or 'again', count()}}
"""

# ARGV[3]: seat. Returns {gone}.
LEAVE_SEAT = f"""{_SEATS}
clear_expired()
vacate(ARGV[3])
return {{gone}}
"""

# ARGV[3], [4], …: pairs of seat and name. A seat that was lost is taken again, whether it fits or not: its person is
# here. Returns {gone, who is back: {id, name, people now}, …}.
RENEW_SEATS = f"""{_SEATS}
local back = {{}}
for i = 3, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[i]) end
clear_expired()
for i = 3, #ARGV, 2 do
    if occupy(ARGV[i], ARGV[i + 1]) then table.insert(back, {{person_of(ARGV[i]), ARGV[i + 1], count()}}) end
end
return {{gone, back}}
"""

# Returns {gone, {id, name, …}}.
LIST_PEOPLE = f"""{_SEATS}
clear_expired()
return {{gone, redis.call('HGETALL', KEYS[3])}}
"""

# KEYS[1]: hash of the answer under way. ARGV: message answered, next piece, its length, life in milliseconds.
# Returns how long the answer was before.
APPEND_TO_ANSWER = """
if redis.call('HGET', KEYS[1], 'in_reply_to') ~= ARGV[1] then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'in_reply_to', ARGV[1], 'text', '')
end
redis.call('HSET', KEYS[1], 'text', redis.call('HGET', KEYS[1], 'text') .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return redis.call('HINCRBY', KEYS[1], 'length', ARGV[3]) - ARGV[3]
"""

# A sliding window made of two counters: uses of this window, and those of the last one as far as it still counts.
# KEYS: one hash per budget. ARGV[1]: 'take' counts in every budget or, when one of them is used up, in none; 'charge'
# counts in all, come what may; 'look' in none. Then for each budget its amount, its window in milliseconds, its cost.
# Returns, for the refusing budget or else the one with least left: its position, whether it refuses, how many uses
# are left, and in how many milliseconds there is more.
COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local counts, tightest = {}, nil

for i, key in ipairs(KEYS) do
    local amount, window, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
    local number, left = math.floor(now / window), window - now % window
    local stored = redis.call('HMGET', key, 'number', 'current', 'previous')
    local age = number - (tonumber(stored[1]) or number)
    local current, previous = 0, 0
    if age <= 0 then
        current, previous = tonumber(stored[2]) or 0, tonumber(stored[3]) or 0
    elseif age == 1 then
        previous = tonumber(stored[2]) or 0
    end
    counts[i] = {number, current + cost, previous, window}

    local needed = math.max(cost, 1)
    local remaining = amount - current - math.floor(previous * left / window)
    local room = amount - needed + 1
    local refused, wait = 0, left
    if remaining < needed then
        refused = 1
        if current < room then
            wait = left - math.floor(window * (room - current) / math.max(previous, 1))
        else
            wait = left + window - math.floor(window * room / math.max(current, 1))
        end
        wait = math.max(wait, 0) + 1
    end
    if not tightest or refused > tightest[2] or (refused == tightest[2] and remaining < tightest[3]) then
        tightest = {i, refused, remaining, wait, cost}
    end
end

if ARGV[1] == 'look' or (ARGV[1] == 'take' and tightest[2] == 1) then
    return {tightest[1], tightest[2], math.max(tightest[3], 0), tightest[4]}
end
for i, key in ipairs(KEYS) do
    local number, current, previous, window = unpack(counts[i])
    redis.call('HSET', key, 'number', number, 'current', current, 'previous', previous)
    redis.call('PEXPIRE', key, window * 2)
end
return {tightest[1], tightest[2], math.max(tightest[3] - tightest[5], 0), tightest[4]}
"""

# KEYS[1]: hash with a project's state. ARGV: the version that it has to have ('0': there is none; '': any), the new
# text, life in milliseconds. A life begins with the time as its version, so that no version comes twice.
# Returns the version before and the new one; nothing when the state has another version.
PUT_STATE = """
local current = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= current then return {} end
local version
if current == '0' then
    local clock = redis.call('TIME')
    version = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
else
    version = string.format('%.0f', tonumber(current) + 1)
end
redis.call('HSET', KEYS[1], 'version', version, 'text', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {current, version}
"""

# KEYS[1], ARGV[1] as before. Returns the version before; nothing when the state has another version.
DELETE_STATE = """
local current = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= current then return {} end
redis.call('DEL', KEYS[1])
return {current}
"""
