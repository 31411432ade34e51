#!/bin/bash
# Node's cluster module, either way: the primary accepts and hands connections to its workers (round robin), or the
# workers share the listener. Each of four workers answers, under one port of one host.
. "$(dirname "$0")/../scenario.bash"
need node

cat >"$work/server.js" <<'JS'
const cluster = require('cluster');
if (process.argv[2] === 'shared') cluster.schedulingPolicy = cluster.SCHED_NONE;
if (cluster.isPrimary) {
    for (let n = 0; n < 4; n++) cluster.fork();
    process.on('SIGTERM', () => process.exit());
} else {
    require('http').createServer((request, response) => {
        const s = request.socket;
        response.setHeader('Connection', 'close');
        response.end(JSON.stringify([cluster.worker.id, s.remoteAddress, s.localPort]));
    }).listen(8080, () => console.log('up'));
}
JS
# Many connections at once, so that none of the workers that share a listener has nothing to do.
cat >"$work/client.js" <<'JS'
const http = require('http');
const get = () => new Promise((done, failed) => http.get('http://α.lonet:8080/', { family: 4 }, response => {
    let text = '';
    response.on('data', part => text += part).on('end', () => done(text));
}).on('error', failed));
(async () => {
    const workers = new Set(), rest = new Set();
    for (let round = 0; round < 50 && workers.size < 4; round++)
        for (const answer of await Promise.all(Array.from({ length: 20 }, get))) {
            const [worker, ...others] = JSON.parse(answer);
            workers.add(worker);
            rest.add(others.join(' '));
        }
    console.log([...workers].sort().join(' '), [...rest].join(', '));
})();
JS
for way in round-robin shared; do
    start "$way" lonet run -H α -- node "$work/server.js" "$way"
    all_up() { [ "$(grep -c up "$work/$way")" = 4 ]; }
    until_true all_up
    address=$(lonet run -H β -- getent ahostsv4 β.lonet | awk 'NR == 1 { print $1 }')
    is "$(lonet run -H β -- node "$work/client.js")" "1 2 3 4 ::ffff:$address 8080" "$way: all four workers answer β"
    stop "$pid"
    closed() { ! lonet wait --timeout 0 α:8080; }
    until_true closed
done
