#!/bin/bash
# Node: an http server and a client on two hosts, names by dns.lookup and by Node's own resolver, and net: autobound
# ports, loopback, an address of its own on it (localAddress), and what a refused dial and a host that is not there look like.
. "$(dirname "$0")/../scenario.bash"
need node

cat >"$work/server.js" <<'JS'
require('http').createServer((request, response) => {
    const s = request.socket;
    response.end(`${s.remoteAddress} ${s.remotePort} ${s.localAddress} ${s.localPort}\n`);
}).listen(8080).keepAliveTimeout = 0; // never: the client's ports are counted
JS
cat >"$work/client.js" <<'JS'
const http = require('http'), dns = require('dns'), net = require('net'), os = require('os');
const { once } = require('events');
const agent = new http.Agent({ keepAlive: true });
async function get(url, family) {
    const [response] = await once(http.get(url, { agent, family }), 'response');
    let text = '';
    for await (const part of response) text += part;
    return text.trim();
}
const failure = (port, host) => new Promise(done => net.connect(port, host).on('error', e => done(e.code)));
(async () => {
    console.log(os.hostname());
    const address = async (name, family) => (await dns.promises.lookup(name, { family })).address;
    const α = await address('α.lonet', 4), β = await address('β.lonet', 4);
    const α6 = await address('α.lonet', 6), β6 = await address('β.lonet', 6);
    console.log(await address('Α.LONET', 4) === α, (await dns.promises.lookupService(α, 80)).hostname);
    console.log((await dns.promises.resolve4('α.lonet'))[0] === α);
    const named = text => text.replace(α, 'α').replace(β, 'β').replace(α6, 'α6').replace(β6, 'β6');
    console.log(named(await get('http://α.lonet:8080/', 4)));
    console.log(named(await get('http://α.lonet:8080/', 6)));
    console.log(await failure(9, 'α.lonet'), await failure(9, 'ω.lonet'), await failure(8080, 'localhost'));

    const listener = net.createServer(socket => socket.pipe(socket)).listen(0);
    await once(listener, 'listening');
    console.log(listener.address());
    const client = net.connect(listener.address().port, '127.0.0.1');
    await once(client, 'connect');
    client.end('there and back');
    console.log(String((await once(client, 'data'))[0]), client.remoteAddress, client.remotePort);
    listener.close();

    const near = http.createServer(({ socket }, response) => {
        response.end(`${socket.remoteAddress} ${socket.remotePort}`);
    }).listen(0, '127.0.0.1');
    await once(near, 'listening');
    const to = { host: '127.0.0.1', port: near.address().port, localAddress: '127.0.0.2', agent: false };
    const [answer] = await once(http.get(to), 'response');
    const { localAddress, localPort, remoteAddress, remotePort } = answer.socket;
    let seen = '';
    for await (const part of answer) seen += part;
    console.log(localAddress, seen === `${localAddress} ${localPort}`, remoteAddress, remotePort === to.port);
    near.close();
})();
JS
start server lonet run -H α -- node "$work/server.js"
lonet wait --timeout 120 α:8080
is "$(lonet run -H β -- node "$work/client.js")" "\
β.lonet
true xn--mxa.lonet
true
::ffff:β 1 ::ffff:α 8080
β6 2 α6 8080
ECONNREFUSED EHOSTUNREACH ECONNREFUSED
{ address: '::', family: 'IPv6', port: 3 }
there and back 127.0.0.1 3
127.0.0.2 true 127.0.0.1 true" "what the client saw"
