#!/bin/bash
# Five hosts keep a log by consensus, in the way of Raft, while partitions come and go at random: the majority goes on, what has been
# acknowledged is in the log of all in the end, and all have the same. 6 partitions, 20 of them with scripts/test --full.
. "$(dirname "$0")/scenario.bash"

rounds=6
[ -z "${LONET_FULL-}" ] || rounds=20
nodes=(n1 n2 n3 n4 n5)

cat >"$work/rpc.py" <<'END'
import asyncio, json
async def call(host, request, limit):
    """Asks a node, on a connection of its own; None: it has not answered in time."""
    async def exchange():
        reader, writer = await asyncio.open_connection(host + ".lonet", 80)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            return json.loads(await reader.readline())
        finally:
            writer.close()
    try:
        return await asyncio.wait_for(exchange(), limit)
    except (OSError, ValueError, asyncio.TimeoutError):
        return None
END
cat >"$work/node.py" <<'END'
import asyncio, json, random, sys
from rpc import call
me, others = sys.argv[1], sys.argv[2:]
majority = (len(others) + 1) // 2 + 1
term, voted, log, commit, role = 0, None, [], 0, "follower"   # log: [term, value]; commit: how many are settled
next_of, has, heard = {}, {}, 0.0
settled = asyncio.Condition()

def now():
    return asyncio.get_running_loop().time()

def see(their_term):
    global term, voted, role
    if their_term > term:
        term, voted, role = their_term, None, "follower"

def last():
    return [log[-1][0] if log else 0, len(log)]

async def settle(n):
    global commit
    if n > commit:
        async with settled:
            commit = n
            settled.notify_all()

async def answer(q):
    global voted, heard, role
    if q["kind"] == "show":
        return {"log": [value for _, value in log[:commit]], "role": role, "term": term}
    if q["kind"] == "write":
        if role != "leader":
            return {"ok": False}
        at, mine = len(log) + 1, term
        log.append([mine, q["value"]])
        async with settled:
            await settled.wait_for(lambda: commit >= at or term != mine)
        return {"ok": commit >= at and log[at - 1][0] == mine}
    see(q["term"])
    if q["kind"] == "vote":
        ok = q["term"] == term and voted in (None, q["from"]) and q["last"] >= last()
        if ok:
            voted, heard = q["from"], now()
        return {"term": term, "ok": ok}
    if q["term"] < term:
        return {"term": term, "ok": False}
    role, heard, at = "follower", now(), q["at"]
    if at > len(log) or at > 0 and log[at - 1][0] != q["before"]:
        return {"term": term, "ok": False}
    for i, entry in enumerate(q["entries"], at):
        if i < len(log) and log[i][0] != entry[0]:
            del log[i:]
        if i == len(log):
            log.append(entry)
    await settle(min(q["commit"], at + len(q["entries"])))
    return {"term": term, "ok": True}

async def send_to(peer, mine):
    """As long as it leads, it has a follower have its log."""
    while role == "leader" and term == mine:
        at = next_of[peer]
        entries = log[at:at + 50]
        a = await call(peer, {"kind": "append", "term": mine, "at": at, "before": log[at - 1][0] if at else 0,
                              "entries": entries, "commit": commit}, 0.4)
        if role != "leader" or term != mine:
            return
        if a is not None:
            see(a["term"])
            if a["ok"]:
                next_of[peer] = has[peer] = at + len(entries)
                n = sorted([len(log)] + [has[p] for p in others])[len(others) + 1 - majority]
                if n and log[n - 1][0] == mine:
                    await settle(n)
            else:
                next_of[peer] = max(0, at - 20)
        if len(log) <= next_of[peer]:
            await asyncio.sleep(0.05)

async def stand():
    global term, voted, role, heard
    term, voted, role, heard = term + 1, me, "candidate", now()
    mine = term
    asked = [call(p, {"kind": "vote", "term": mine, "from": me, "last": last()}, 0.4) for p in others]
    answers = [a for a in await asyncio.gather(*asked) if a is not None]
    for a in answers:
        see(a["term"])
    if role == "candidate" and term == mine and 1 + sum(a["ok"] for a in answers) >= majority:
        role = "leader"
        for p in others:
            next_of[p], has[p] = len(log), 0
        await asyncio.gather(*(send_to(p, mine) for p in others))

async def follow():
    while True:
        patience = random.uniform(0.6, 1.2)
        await asyncio.sleep(0.05)
        while role != "leader" and now() - heard < patience:
            await asyncio.sleep(0.05)
        if role != "leader":
            await stand()
            async with settled:
                settled.notify_all()

async def serve(reader, writer):
    try:
        writer.write(json.dumps(await answer(json.loads(await reader.readline()))).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError):
        pass
    finally:
        writer.close()

async def main():
    await asyncio.start_server(serve, "", 80)
    print("ready", flush=True)
    await follow()
asyncio.run(main())
END
cat >"$work/client.py" <<'END'
import asyncio, sys, threading
from rpc import call
nodes, acknowledged, ending = sys.argv[1:], [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()

async def main():
    value, at = 0, 0
    while not ending.is_set():
        a = await call(nodes[at], {"kind": "write", "value": value}, 1)
        if a is not None and a["ok"]:
            acknowledged.append(value)
            print("acknowledged", value, "by", nodes[at], flush=True)
            value += 1
        else:
            # It may have been written all the same, and is written once more.
            at = (at + 1) % len(nodes)
            await asyncio.sleep(0.02)
    while True:
        shown = [await call(n, {"kind": "show"}, 1) for n in nodes]
        logs = [a["log"] for a in shown if a is not None]
        if len(logs) == len(nodes) and all(log == logs[0] for log in logs) and acknowledged[-1] in logs[0]:
            break
        await asyncio.sleep(0.1)
    lost = [v for v in acknowledged if v not in logs[0]]
    first = [logs[0].index(v) for v in acknowledged if v in logs[0]]
    print("lost", lost, "in order", first == sorted(first), flush=True)
asyncio.run(main())
END

for node in "${nodes[@]}"; do
    others=()
    for other in "${nodes[@]}"; do [ "$other" = "$node" ] || others+=("$other"); done
    start "$node" env PYTHONPATH="$work" lonet run --host "$node" -- python3 "$work/node.py" "$node" "${others[@]}"
done
for node in "${nodes[@]}"; do lonet wait --timeout 60 "$node:80"; done
commanded 21 client env PYTHONPATH="$work" lonet run --host client -- python3 "$work/client.py" "${nodes[@]}"
count() { grep -cE "by ($1)\$" "$work/client" || true; }
goes_on() { # NODE|…: they acknowledge three more writes
    local before
    before=$(count "$1")
    until_true eval '[ "$(count "'"$1"'")" -ge '$((before + 3))' ]'
}
all=$(IFS="|"; echo "${nodes[*]}")
is_met() { lonet faults | grep -q dropped; }
goes_on "$all"
echo "ok: writes are acknowledged"
RANDOM=${SEED:-$$}
echo "SEED=${SEED:-$$}"
for ((round = 1; round <= rounds; round++)); do
    # shellcheck disable=SC2207
    order=($(for node in "${nodes[@]}"; do echo "$RANDOM $node"; done | sort -n | awk '{ print $2 }'))
    minority=$(IFS=,; echo "${order[*]:0:1 + RANDOM % 2}")
    majority=
    for node in "${order[@]}"; do [[ ,$minority, == *,$node,* ]] || majority+=,$node; done
    case $((RANDOM % 4)) in
        0) code 0 lonet cut "$minority>${majority#,}" ;;
        *) code 0 lonet cut "$minority" "${majority#,}" ;;
    esac
    goes_on "$(tr , "|" <<<"${majority#,}")"
    until_true is_met
    echo "ok: partition $round, of $minority: the majority goes on"
    code 0 lonet heal --expect-hit
done
goes_on "$all"
exec 21>&-
until_true grep -q '^lost' "$work/client"
is "$(tail -n 1 "$work/client")" "lost [] in order True" "nothing that was acknowledged is lost, and all have the same"
